"""What `solve` returns: weights, multipliers and everything needed to check them."""

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm
from marginflow.notebook import card
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Against, Problem
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.certificate import Certificate
from marginflow.svm.proof.svm_status import SvmStatus as SvmStatus


if TYPE_CHECKING:
    from marginflow.svm.optimum.optimum import Optimum
    from marginflow.svm.optimum.rank import Rank
    from marginflow.svm.optimum.uniqueness import Uniqueness


@dataclass(frozen=True, eq=False)
class Solution:
    """The least-norm weights that separate the selected tokens, with bounds on how far from least they are.

    Attributes:
        constraints: the C constraints solved.
        norm: the norm that is least.
        W: (d, d_z) weights of least margin 1 up to rounding (between 1 and 2 where that rounding would be seen in the
            bounds); diag(beta) for diagonal norms. Zero when infeasible.
        dual: (C,) multipliers with N_d(adjoint(dual)) = 1 up to rounding, so that their sum is the certified lower
            bound (or a power of two below, likewise). When the problem is infeasible they are the proof: adjoint(dual)
            vanishes, exactly or for multipliers next to these.
        value: N(W) at least margin 1, within the bounds; nan when no separating weights were found.
        certificate: `lower <= N* <= upper` in exact arithmetic, computed from W and dual as they are returned.
        status: see `SvmStatus`; a function of problem, W, dual and tol.
        reason: why the status is not `optimal`, or the proof of infeasibility; empty when it is.
        tol: the relative gap that was asked for.
        iterations: steps of each stage of the solver. Of tokens that stay on disk also the rounds, the passes over all
            of them and the constraints of the last working set.
        problem, selection, against: where the constraints came from, when `solve` was given a problem.
        parts: the solution of every head where there are several, from W[h] and the multipliers of its constraints;
            what is said of all of them rests on these. W is then (H, d, d_z), its norm that of block-diagonal weights.
        faces: those of the loss that `solve` was given, whose reference tokens are then the selection; else None.
        device: where the search was told to make its products, as PyTorch names it; None for NumPy, and of saved files.
    """

    constraints: Constraints
    norm: AbstractNorm
    W: Floats
    dual: Floats
    value: float
    certificate: Certificate
    status: SvmStatus
    reason: str
    tol: float
    iterations: dict[str, int] = field(default_factory=dict)
    problem: Problem | None = None
    selection: Ints | None = None
    against: Against = "all"
    parts: tuple["Solution", ...] = ()
    faces: Faces | None = None
    device: str | None = None

    @property
    def finite(self) -> Floats | None:
        """(d, d_z), of several heads (H, d, d_z): the part of W that stays finite, W = finite + margin x this W.

        None without faces, or where their shares are not attained by any W.
        """
        return None if self.faces is None else self.faces.finite

    @property
    def finite_decrement(self) -> float | None:
        """What one more step of Newton's would take off the loss at `finite`."""
        return None if self.finite is None or self.faces is None else self.faces.finite_decrement

    @property
    def beta(self) -> Floats:
        """(d,) the diagonal of W, or (H, d): the weights of a diagonal model.

        Raises:
            InputError: the norm is one of full matrices.
        """
        if not self.norm.diagonal:
            raise InputError(f"beta: got a {self.norm.name} solution; expected l1, l2, lp:P or linf; use W")
        return np.array(self.W.diagonal(axis1=-2, axis2=-1))

    @property
    def svm(self) -> Svm:
        """The problem that was solved.

        Raises:
            InputError: several heads, each of which has its own.
        """
        if self.parts:
            raise InputError(f"svm: got a solution of {len(self.parts)} heads; expected one of its parts")
        return Svm(self.constraints, self.norm, rational.tokens_of(self.problem, self.selection))

    @property
    def infeasibility(self) -> float | None:
        """The norm below which no separating W exists, when the problem was found infeasible; else None."""
        return self.certificate.lower if self.status is SvmStatus.infeasible else None

    @cached_property
    def optimum(self) -> "Optimum":
        """What is certain of every optimum, not only of the weights found."""
        from marginflow.svm.optimum.optimum import Optimum

        return Optimum(self.svm, self.svm.weights(self.W), self.dual, self.certificate, self.tol)

    @cached_property
    def uniqueness(self) -> "Uniqueness":
        """Whether other weights are as good, with the number that shows it."""
        if self.parts:
            from marginflow.svm import heads

            return heads.uniqueness(self)
        from marginflow.svm.optimum.uniqueness import Uniqueness, uniqueness

        if self._too_large and not self.norm.strictly_convex:
            return Uniqueness(None, math.nan, _TOO_LARGE)
        return uniqueness(self.optimum)

    @property
    def unique(self) -> bool | None:
        """True, False, or None for undecided; `uniqueness` has the evidence."""
        return self.uniqueness.unique

    @cached_property
    def rank_evidence(self) -> "Rank":
        """Bounds of the rank of every optimum (of several heads: of the sum of their ranks), and what they rest on."""
        if self.parts:
            from marginflow.svm import heads

            return heads.rank_of(self)
        from marginflow.svm.optimum.rank import Rank, rank_of

        if self._too_large:
            return Rank(None, 0, min(self.constraints.shape), math.nan, math.nan, _TOO_LARGE)
        return rank_of(self.optimum)

    @property
    def _too_large(self) -> bool:
        """Whether the constraints are left on disk, where rank and uniqueness read all of them at once."""
        rows = self.constraints
        return rows.stored is not None and 8 * len(rows) * rows.shape[0] > _IN_MEMORY

    @property
    def rank(self) -> int | None:
        """The rank of every optimal W (of its diagonal, how many weights are not zero); None where it is not proved.

        Of several heads the rank of the block-diagonal matrix, the sum of the heads'; `parts` has each.
        """
        return self.rank_evidence.rank

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file that `marginflow svm --verify` can recheck.

        Raises:
            InputError: the file cannot be written.
        """
        from marginflow.svm.files import save_solution

        save_solution(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Solution":
        """Read what `save` wrote; constraints and certificate are computed anew, nothing in the file is believed.

        Raises:
            InputError: not such a file, one whose arrays do not fit each other, or one that claims what they do not
                prove.
        """
        from marginflow.svm.files import load_solution

        return load_solution(path)

    def __repr__(self) -> str:
        c = self.certificate
        if self.status is SvmStatus.infeasible:
            return f"Solution({self.norm.name}, infeasible: {self.reason}; {len(self.constraints)} constraints)"
        rank = "undecided" if self.rank is None else self.rank
        unique = {True: "unique", False: "not unique", None: "uniqueness undecided"}[self.unique]
        reason = f"; {self.reason}" if self.reason else ""
        return (
            f"Solution({self.norm.name}, {self.status.name}: value {self.value:.12g} in "
            f"{c.interval(12)}, gap {rounding.text_up(c.gap, 2)}; rank {rank}, {unique}; "
            f"W {' x '.join(map(str, self.W.shape))}, {len(self.constraints)} constraints{reason})"
        )

    def _repr_html_(self) -> str:
        c = self.certificate
        rows = [
            ("status", self.status.value),
            *([("reason", self.reason)] if self.reason else []),
            ("value N(W)", f"{self.value:.12g}"),
            ("certified", f"{c.interval(15)}, gap {rounding.text_up(c.gap, 2)}"),
            ("rank of every optimum", "undecided" if self.rank is None else str(self.rank)),
            ("unique", {True: "yes", False: "no", None: "undecided"}[self.unique]),
            ("W", " x ".join(map(str, self.W.shape))),
            (
                "constraints",
                f"{len(self.constraints)}, {int((self.dual != 0).sum())} of them with a multiplier",
            ),
        ]
        return card(f"Solution, {self.norm.name} norm", rows)


_IN_MEMORY: Final = 2**28
"""Bytes of differences of tokens on disk up to which rank and uniqueness read them."""

_TOO_LARGE: Final = "undecided: the constraints are more than are read into memory for it"

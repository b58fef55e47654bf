"""What `solve` returns: weights, multipliers and everything needed to check them."""

import os
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Floats, Ints, frozen
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.npz import read_npz, require, write_npz
from marginflow.problem.constraints import Constraints
from marginflow.problem.files import names_of
from marginflow.problem.problem import Against, Problem
from marginflow.shown import card
from marginflow.svm import rational
from marginflow.svm.certificate import Certificate, certify


if TYPE_CHECKING:
    from marginflow.svm.rank import Rank
    from marginflow.svm.uniqueness import Uniqueness


class SvmStatus(Enum):
    """The answer in a word (`.name`) and in a sentence (`.value`)."""

    optimal = "optimal: the true value lies between the two bounds, which meet to the tolerance asked"
    infeasible = "infeasible: no weights separate the selected tokens, and the multipliers prove it"
    inaccurate = "inaccurate: the bounds hold, but they do not meet to the tolerance asked"


@dataclass(frozen=True, eq=False)
class Solution:
    """The least-norm weights that separate the selected tokens, with bounds on how far from least they are.

    Attributes:
        constraints: the C constraints solved.
        norm: the norm that is least.
        W: (d, d_z) weights with margins at least 1; diag(beta) for diagonal norms. Zero when infeasible.
        dual: (C,) multipliers with N_d(adjoint(dual)) <= 1: their sum is the certified lower bound. When the
            problem is infeasible they are the proof: adjoint(dual) vanishes (to rounding, or exactly).
        value: N(W); nan when no separating weights were found.
        certificate: `lower <= N* <= upper` in exact arithmetic.
        status: see `SvmStatus`.
        reason: why the status is not `optimal`; empty when it is.
        tol: the relative gap that was asked for.
        iterations: steps of each stage of the solver.
        interrupted: Ctrl-C ended the solver; the bounds are those reached.
        problem, selection, against: where the constraints came from, when `solve` was given a problem.
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
    interrupted: bool = False
    problem: Problem | None = None
    selection: Ints | None = None
    against: Against = "all"

    @property
    def beta(self) -> Floats:
        """(d,) the diagonal of W: the weights of a diagonal model.

        Raises:
            InputError: the norm is one of full matrices.
        """
        if not self.norm.diagonal:
            raise InputError(f"beta: got a {self.norm.name} solution; expected l1, l2, lp:P or linf; use W")
        return np.array(self.W.diagonal())

    @property
    def infeasibility(self) -> float | None:
        """The norm below which no separating W exists, when the problem was found infeasible; else None."""
        return self.certificate.lower if self.status is SvmStatus.infeasible else None

    @cached_property
    def uniqueness(self) -> "Uniqueness":
        """Whether other weights are as good, with the number that shows it."""
        from marginflow.svm.uniqueness import uniqueness

        return uniqueness(self)

    @property
    def unique(self) -> bool | None:
        """True, False, or None for undecided; `uniqueness` has the evidence."""
        return self.uniqueness.unique

    @cached_property
    def rank_evidence(self) -> "Rank":
        """The rank of W with the gap in the spectrum that supports it."""
        from marginflow.svm.rank import numerical_rank

        return numerical_rank(self)

    @property
    def rank(self) -> int | None:
        """The rank of the optimal W, None where the certificate does not support one."""
        return self.rank_evidence.rank

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file that `marginflow svm --verify` can recheck.

        Raises:
            InputError: the file cannot be written.
        """
        arrays: dict[str, Any] = {
            "format": FORMAT,
            "norm": self.norm.name,
            "W": self.W,
            "dual": self.dual,
            "sample": self.constraints.sample,
            "token": self.constraints.token,
            "a": self.constraints.a,
            "z": self.constraints.z,
            "value": self.value,
            "lower": self.certificate.lower,
            "upper": self.certificate.upper,
            "gap": self.certificate.gap,
            "status": self.status.name,
            "reason": self.reason,
            "tol": self.tol,
            "stages": np.array(list(self.iterations), dtype=str),
            "steps": np.array(list(self.iterations.values()), dtype=np.int64),
            "interrupted": self.interrupted,
        }
        if self.problem is not None:
            arrays |= {
                "X": self.problem.X,
                "scores": self.problem.scores,
                "mask": self.problem.mask,
                "selection": self.selection,
                "against": self.against,
                "name": self.problem.name,
                **names_of(self.problem),
            }
        from marginflow.svm.verify import digest

        write_npz(path, **arrays, digest=digest(arrays))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Solution":
        """Read what `save` wrote; the certificate is computed anew, nothing in the file is believed.

        Raises:
            InputError: not such a file, or one whose arrays do not fit each other.
        """
        arrays = read_npz(path)
        require(path, arrays, *_SAVED)
        if int(arrays["format"]) != FORMAT:
            raise InputError(f"{path}: got format {int(arrays['format'])}; expected {FORMAT}; solve and save it again")
        norm = parse_norm(str(arrays["norm"]))
        constraints = Constraints(arrays["a"], arrays["sample"], arrays["z"], arrays["token"])
        problem = None
        if "X" in arrays:
            require(path, arrays, "scores", "mask", "selection", "against")
            problem = Problem(
                arrays["X"],
                arrays["z"],
                arrays["scores"],
                mask=arrays["mask"],
                name=str(arrays.get("name", "")),
                token_names=arrays.get("token_names"),
                sample_names=arrays.get("sample_names"),
            )
        W, dual = arrays["W"], arrays["dual"]
        if W.shape != constraints.shape or dual.shape != (len(constraints),):
            raise InputError(
                f"{path}: got W {W.shape} and dual {dual.shape}; expected {constraints.shape} and ({len(constraints)},)"
            )
        status = str(arrays["status"])
        if status not in SvmStatus.__members__:
            raise InputError(f"{path}: got status {status!r}; expected one of {list(SvmStatus.__members__)}")
        selection = frozen(arrays["selection"]) if problem is not None else None
        tol = float(arrays["tol"])
        weights = W.diagonal() if norm.diagonal else W
        certificate = certify(constraints, norm, weights, dual).certificate
        if certificate.gap > tol and rational.affordable(constraints, norm.diagonal):
            slip = rational.slip(constraints, problem, selection)
            certificate = certify(constraints, norm, weights, dual, slip=slip, exact=True).certificate
        word, reason = SvmStatus[status], str(arrays["reason"])
        if not _supported(word, certificate, tol, constraints, norm, dual):
            word, reason = SvmStatus.inaccurate, f"{path} says {status}, which its arrays do not support"
        return cls(
            constraints=constraints,
            norm=norm,
            W=frozen(W),
            dual=frozen(dual),
            value=norm.value(weights) if certificate.upper < np.inf else float("nan"),
            certificate=certificate,
            status=word,
            reason=reason,
            tol=tol,
            iterations=dict(zip(arrays["stages"].tolist(), arrays["steps"].tolist(), strict=True)),
            interrupted=bool(arrays["interrupted"]),
            problem=problem,
            selection=selection,
            against=str(arrays["against"]) if problem is not None else "all",  # type: ignore[arg-type]
        )

    def __repr__(self) -> str:
        d, d_z = self.constraints.shape
        c = self.certificate
        return (
            f"Solution({self.norm.name}, {self.status.name}: value {self.value:.12g} in "
            f"[{c.lower:.12g}, {c.upper:.12g}], gap {c.gap:.1e}; "
            f"W {d} x {d_z}, {len(self.constraints)} constraints)"
        )

    def _repr_html_(self) -> str:
        c = self.certificate
        rows = [
            ("status", self.status.value),
            *([("reason", self.reason)] if self.reason else []),
            ("value N(W)", f"{self.value:.12g}"),
            ("certified", f"{c.lower:.15g} to {c.upper:.15g}, gap {c.gap:.1e}"),
            ("W", " x ".join(map(str, self.constraints.shape))),
            ("constraints", f"{len(self.constraints)}, {int((self.dual > 0).sum())} of them with a multiplier above 0"),
        ]
        return card(f"Solution, {self.norm.name} norm", rows)


def _supported(
    status: SvmStatus,
    certificate: Certificate,
    tol: float,
    constraints: Constraints,
    norm: AbstractNorm,
    dual: Floats,
) -> bool:
    """Whether weights and multipliers show what `status` says."""
    if status is SvmStatus.optimal:
        return certificate.gap <= tol
    if status is SvmStatus.infeasible:
        from marginflow.svm.farkas import prove

        return prove(constraints, norm.diagonal, dual) is not None or bool(dual.any() and _zero_rows(dual, constraints))
    return True


def _zero_rows(dual: Floats, constraints: Constraints) -> bool:
    rows = dual > 0.0
    return not constraints.a[rows].any() or not constraints.queries[rows].any()


FORMAT: Final = 1
"""Version of the saved files; raised when their meaning changes."""

_SAVED: Final = (
    "format norm W dual sample token a z value lower upper status reason tol stages steps interrupted".split()
)

"""The problem that this room solves: min N(W) subject to <A_c, W> >= level_c, or = 0 (theory 3.4)."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, Frobenius, Lp
from marginflow.problem.constraints import Constraints
from marginflow.problem.exact_differences import ExactDifferences
from marginflow.problem.stored_differences import StoredDifferences
from marginflow.svm.scaling.unit_rows import WRITTEN_OUT, Rows, unit_rows, zero_row


@dataclass(frozen=True, eq=False)
class Svm:
    """Constraints and the norm that is to be least over them.

    Its *weights* are W in the shape that the norm reads: (d, d_z), or the diagonal (d,) of W = diag(beta).

    Attributes:
        constraints: C constraints.
        norm: the norm N.
        tokens: whose exact differences x_selected - x_l the constraints hold rounded; None where they are known only
            as they are, or not in memory all together.

    Raises:
        UndefinedError: a norm of diagonal weights where tokens and queries differ in dimension.
    """

    constraints: Constraints
    norm: AbstractNorm
    tokens: ExactDifferences | StoredDifferences | None = field(default=None)

    def __post_init__(self) -> None:
        if self.norm.diagonal:
            self.constraints.need_square()

    def __len__(self) -> int:
        return len(self.constraints)

    @property
    def diagonal(self) -> bool:
        """Whether W = diag(beta)."""
        return self.norm.diagonal

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weights: (d, d_z) or (d,)."""
        return self.constraints.shape[:1] if self.diagonal else self.constraints.shape

    @cached_property
    def slip(self) -> Floats | None:
        """(C, d) what exact differences exceed `constraints.a` by; None where they are that, or known only as they are.

        Rational proofs are about a + slip; bounds in float64 allow for one rounding of every difference anyway.
        """
        if self.tokens is None:
            return None
        errors = self.tokens.errors(self.constraints.sample, self.constraints.token)
        return errors if errors.any() else None

    @cached_property
    def leads(self) -> Bools:
        """(C,) the constraints of level 1."""
        return np.asarray(self.constraints.level > 0.0)

    @property
    def plain(self) -> bool:
        """Whether every constraint is <A_c, W> >= 1."""
        return self.constraints.plain

    def least_margin(self, weights: Floats) -> float:
        """The least margin of the constraints of level 1; inf where there are none."""
        margins = self.margins(weights)
        return float((margins if self.plain else margins[self.leads]).min(initial=np.inf))

    def margins(self, weights: Floats) -> Floats:
        """(C,) the margins of `weights`."""
        return self.constraints.margins(weights)

    def adjoint(self, dual: Floats) -> Floats:
        """The dual matrix sum_c dual_c A_c of `dual` (C,), in the shape of the weights."""
        if self.diagonal:
            if self.constraints.stored is None:
                return np.asarray(dual @ self.constraints.diagonal)
            return np.asarray(self.constraints.adjoint(dual).diagonal())
        return self.constraints.adjoint(dual)

    def weights(self, W: Floats) -> Floats:
        """The weights of the matrix `W` (d, d_z)."""
        return np.asarray(W.diagonal()) if self.diagonal else W

    def matrix(self, weights: Floats) -> Floats:
        """(d, d_z) the matrix W of `weights`."""
        return np.diag(weights) if self.diagonal else weights

    def euclidean(self) -> "Svm":
        """The same constraints under the Euclidean norm of the same weights: Frobenius, or l2 for W = diag(beta)."""
        return self.under(Lp(2.0) if self.diagonal else Frobenius())

    def written_out(self, *, square: bool = False) -> Floats:
        """(C, D) the unit rows as a matrix, D the number of weights: a_c z_c' entry by entry, or a_c o z_c.

        Args:
            square: the solver needs matrices of D by D as well.

        Raises:
            InputError: weights of a full matrix for which either would take more than 160 MB.
        """
        if self.diagonal:
            assert self.rows.dense is not None
            return self.rows.dense
        d, d_z = self.shape
        R = None if square and (d * d_z) ** 2 > WRITTEN_OUT else self.rows.written_out()
        if R is None:
            what = f"{d * d_z} entries of W" if square else f"{len(self)} constraints on {d * d_z} entries of W"
            raise InputError(
                f"{self.norm.name}: got {what}, a matrix of more than {WRITTEN_OUT:,} numbers; "
                "expected fewer; use nuclear, frobenius or operator, or a problem of fewer dimensions"
            )
        return R

    def restrict(self, keep: Bools | Ints) -> "Svm":
        """The constraints selected by the index `keep`, in memory."""
        rows = self.constraints
        return Svm(rows.restrict(keep), self.norm, self.tokens if rows.stored is None else rows.stored)

    def under(self, norm: AbstractNorm) -> "Svm":
        """The same constraints under another norm."""
        return Svm(self.constraints, norm, self.tokens)

    @cached_property
    def rows(self) -> Rows:
        """The constraints scaled to unit rows; none of them may be zero."""
        return unit_rows(self.constraints, self.diagonal)

    @cached_property
    def zero_row(self) -> int | None:
        """A constraint 0 >= 1, which no weights satisfy, or None."""
        return zero_row(self.constraints, self.diagonal)

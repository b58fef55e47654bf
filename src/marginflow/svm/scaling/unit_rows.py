"""Row scaling: constraints as unit rows of one linear map, r_c' w >= h_c.

Without it data whose rows differ by 1e10 stall at a gap near 1.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, largest_in_rows
from marginflow.problem.constraints import Constraints
from marginflow.svm.scaling.levels import AbstractLevels
from marginflow.svm.scaling.namespace import AbstractNamespace
from marginflow.svm.scaling.operator import Operator, batched
from marginflow.threads import over_rows


@dataclass(frozen=True, eq=False)
class Scale:
    """The units of scaled rows: W = w / unit, lambda_c = dual_c / (unit size_c).

    Attributes:
        size: (C,) the length of each row over `unit`; the right-hand side becomes level / size.
        unit: the geometric mean of the lengths.
    """

    size: Floats
    unit: float

    @staticmethod
    def of(*factors: Floats) -> "Scale":
        """The scale of rows whose lengths are the products of `factors`, each (C,) and positive.

        Logarithms are added, so that no product over- or underflows before the mean is divided out.
        """
        logs = np.sum([np.log(factor) for factor in factors], axis=0)
        mean = float(logs.mean())
        return Scale(np.exp(logs - mean), float(np.exp(mean)))

    @property
    def unit_margins(self) -> Floats:
        """(C,) what a margin of the user's 1 is here, of geometric mean one: the right-hand sides of level 1."""
        return np.asarray(1.0 / self.size)

    def restore(self, w: Floats) -> Floats:
        """The user's weights of the scaled `w`."""
        return w / self.unit

    def reduce(self, W: Floats) -> Floats:
        """The scaled weights of the user's `W`."""
        return W * self.unit

    def restore_dual(self, dual: Floats) -> Floats:
        """(C,) the user's multipliers of the scaled `dual`."""
        return dual / self.size / self.unit

    def reduce_dual(self, dual: Floats) -> Floats:
        """(C,) the scaled multipliers of the user's `dual`."""
        return dual * self.size * self.unit

    def restrict(self, keep: Bools | Ints) -> "Scale":
        """The same units for the rows `keep`."""
        return Scale(self.size[keep], self.unit)


@dataclass(frozen=True, eq=False)
class Rows(AbstractLevels):
    """C rows of length one, r_c' w >= h_c (= 0 for equalities): what the solvers of vector norms see.

    Attributes:
        scale: the units; row c had length |a_c||z_c|, or |a_c o z_c| for diagonal weights.
        level: (C,) 1 or 0; the right-hand sides are h = level times what a margin of 1 is here.
        equal: (C,) which rows are equalities.
        dense: (C, D) the rows, when they are few enough to be written out, else None.
        structured: the same rows as normalised rank-one constraints in batched layout; None for diagonal weights.
    """

    scale: Scale
    level: Floats
    equal: Bools
    dense: Floats | None
    structured: Operator | None

    def __len__(self) -> int:
        return len(self.level)

    @cached_property
    def unit(self) -> Floats:
        """(C,) what a margin of the user's 1 is here."""
        return self.scale.unit_margins

    @cached_property
    def h(self) -> Floats:
        """(C,) right-hand sides."""
        return np.asarray(self.unit * self.level)

    def reached(self, margins: Floats, size: float) -> float:
        """The least margin of the rows of level 1 over h; -inf where the others are not met to rounding, nearly.

        Weights of Euclidean length `size` are moved onto those by the certificate, at about what they lack.
        """
        if self.plain:
            return float((margins / self.h).min())
        rest = ~self.leads
        least = float((margins[self.leads] / self.h[self.leads]).min())
        lack = np.where(self.equal[rest], np.abs(margins[rest]), np.maximum(-margins[rest], 0.0))
        return least if float(lack.max(initial=0.0)) <= _MET * size else -np.inf

    @property
    def dimension(self) -> int:
        """The number D of unknowns."""
        if self.dense is not None:
            return int(self.dense.shape[1])
        assert self.structured is not None
        d, d_z = self.structured.shape
        return d * d_z

    def margins(self, w: Floats) -> Floats:
        """(C,) the products r_c' w."""
        if self.dense is not None:
            return np.asarray(self.dense @ w)
        assert self.structured is not None
        return self.structured.margins(w.reshape(self.structured.shape))

    def adjoint(self, dual: Floats) -> Floats:
        """(D,) the sum of dual_c r_c."""
        if self.dense is not None:
            return np.asarray(dual @ self.dense)
        assert self.structured is not None
        return self.structured.adjoint(dual).ravel()

    def gram(self) -> Floats:
        """(C, C) the inner products of the rows."""
        if self.dense is not None:
            return np.asarray(self.dense @ self.dense.T)
        assert self.structured is not None
        A = self.structured
        zz = A.queries @ A.queries.T
        return (A.a @ A.a.T) * zz[np.ix_(A.sample, A.sample)]

    def written_out(self) -> Floats | None:
        """(C, D) the rows themselves, None when they would take more than 160 MB."""
        if self.dense is not None:
            return self.dense
        assert self.structured is not None
        return None if len(self) * self.dimension > WRITTEN_OUT else self.structured.written_out()

    def on(self, xp: AbstractNamespace) -> "Rows":
        """These, the products of structured ones made in `xp`; few rows that are written out stay where they are."""
        if self.dense is not None or self.structured is None:
            return self
        return replace(self, structured=self.structured.on(xp))

    def restrict(self, keep: Bools | Ints) -> "Rows":
        """The rows selected by the index `keep`, in nondecreasing order."""
        return Rows(
            self.scale.restrict(keep),
            self.level[keep],
            self.equal[keep],
            None if self.dense is None else self.dense[keep],
            None if self.structured is None else self.structured.restrict(np.arange(len(self))[keep]),
        )


def zero_rows(constraints: Constraints, diagonal: bool) -> Bools:
    """(C,) the constraints that see no weight."""
    if diagonal:
        # A product may underflow; it vanishes only where a factor does.
        return np.asarray(~((constraints.a != 0.0) & (constraints.queries != 0.0)).any(axis=1))
    return _zero(constraints.a) | _zero(constraints.z)[constraints.sample]


def _zero(x: Floats) -> Bools:
    """(k,) the rows of `x` without an entry, most of which show one in the first."""
    zero = ~(x[:, :1] != 0.0).any(axis=1)
    rest = np.flatnonzero(zero)
    zero[rest] = ~(x[rest] != 0.0).any(axis=1)
    return np.asarray(zero)


def zero_row(constraints: Constraints, diagonal: bool) -> int | None:
    """A constraint 0 >= 1, which no weights satisfy, or None."""
    zero = zero_rows(constraints, diagonal) & (constraints.level > 0.0)
    return int(zero.argmax()) if zero.any() else None


def unit_rows(constraints: Constraints, diagonal: bool) -> Rows:
    """Normalise the rows of `constraints`, none of which may be zero."""
    a, a_length = unit_vectors(constraints.a)
    if diagonal:
        z, z_length = unit_vectors(constraints.queries)
        rows, own = unit_vectors(a * z)
        scale = Scale.of(a_length, z_length, own)
        return Rows(scale, constraints.level, constraints.equal, dense=rows, structured=None)
    z, z_length = unit_vectors(constraints.z)
    scale = Scale.of(a_length, z_length[constraints.sample])
    structured = batched(a, constraints.sample, z, scale.unit_margins, constraints.level, constraints.equal)
    d, d_z = constraints.shape
    dense = structured.written_out() if len(a) * d * d_z <= _DENSE else None
    return Rows(scale, constraints.level, constraints.equal, dense=dense, structured=structured)


def unit_columns(R: Floats) -> Floats:
    """(D,) powers of two that bring the largest entry of every column of `R` to about one."""
    return np.ldexp(1.0, -np.frexp(np.abs(R).max(axis=0, initial=0.0))[1])


def unit_vectors(x: Floats) -> tuple[Floats, Floats]:
    """The rows of `x` at length one, and their lengths; zero rows stay zero, with length one."""
    unit, lengths = np.empty_like(x), np.empty(len(x))

    def scale(rows: slice) -> None:
        some, out = x[rows], unit[rows]
        largest = largest_in_rows(some)
        largest[largest == 0.0] = 1.0
        np.divide(some, largest[:, None], out=out)
        length = np.sqrt((out * out).sum(axis=1))
        length[length == 0.0] = 1.0
        out /= length[:, None]
        lengths[rows] = largest * length

    over_rows(scale, x)
    return unit, lengths


_MET: Final = 1e-10
"""Margins of unit rows, relative to the weights, that count as 0."""

_DENSE: Final = 100_000
"""Up to so many entries a dense matrix beats the structured map (one BLAS call against several)."""

WRITTEN_OUT: Final = 20_000_000

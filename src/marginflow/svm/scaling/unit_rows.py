"""Constraints as unit rows of one linear map, r_c' w >= h_c: what the vector-norm solvers see."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.problem.constraints import Constraints
from marginflow.svm.scaling.presolve import Operator, batched


@dataclass(frozen=True, eq=False)
class Rows:
    """C rows of length one and right-hand sides of geometric mean one.

    Row c is divided by its length and h_c = 1 / length, over the common factor `unit`: with w in these units
    W = unit * w, and the multiplier of the user's constraint is dual_c / length_c up to a common factor.

    Attributes:
        h: (C,) right-hand sides.
        length: (C,) |a_c||z_c|, or |a_c o z_c| for diagonal models.
        dense: (C, D) the rows, when they are few enough to be written out, else None.
        structured: the same rows as normalised rank-one constraints in batched layout; None for diagonal models.
    """

    h: Floats
    length: Floats
    unit: float
    dense: Floats | None
    structured: Operator | None

    def __len__(self) -> int:
        return len(self.h)

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
        return None if len(self) * self.dimension > _WRITTEN_OUT else self.structured.written_out()

    def restrict(self, keep: Bools | Ints) -> "Rows":
        """The rows selected by the index `keep`, in nondecreasing order."""
        return Rows(
            self.h[keep],
            self.length[keep],
            self.unit,
            None if self.dense is None else self.dense[keep],
            None if self.structured is None else self.structured.restrict(np.arange(len(self))[keep]),
        )


def zero_row(constraints: Constraints, diagonal: bool) -> int | None:
    """A constraint 0 >= 1, which no weights satisfy, or None."""
    if diagonal:
        # A product may underflow; it vanishes only where a factor does.
        zero = ~((constraints.a != 0.0) & (constraints.queries != 0.0)).any(axis=1)
    else:
        zero = ~(np.any(constraints.a != 0.0, axis=1) & np.any(constraints.z != 0.0, axis=1)[constraints.sample])
    return int(zero.argmax()) if zero.any() else None


def unit_rows(constraints: Constraints, diagonal: bool) -> Rows:
    """Normalise the rows of `constraints`, none of which may be zero."""
    if diagonal:
        a, a_length = _normalised(constraints.a)
        z, z_length = _normalised(constraints.queries)
        rows, own = _normalised(a * z)
        length = a_length * z_length * own
        return Rows(*_sides(length), dense=rows, structured=None)
    a, a_length = _normalised(constraints.a)
    z, z_length = _normalised(constraints.z)
    length = a_length * z_length[constraints.sample]
    h, length, mean = _sides(length)
    structured = batched(a, constraints.sample, z, h)
    d, d_z = constraints.shape
    dense = structured.written_out() if len(a) * d * d_z <= _DENSE else None
    return Rows(h, length, mean, dense=dense, structured=structured)


def _normalised(x: Floats) -> tuple[Floats, Floats]:
    """Rows of length one and their lengths; zero rows stay zero, with length one."""
    largest = np.abs(x).max(axis=1, initial=0.0)
    largest[largest == 0.0] = 1.0
    scaled = x / largest[:, None]
    length = np.sqrt((scaled * scaled).sum(axis=1))
    length[length == 0.0] = 1.0
    return scaled / length[:, None], largest * length


def _sides(length: Floats) -> tuple[Floats, Floats, float]:
    mean = float(np.exp(-np.log(length).mean()))
    return 1.0 / (length * mean), length, mean


_DENSE: Final = 100_000
"""Up to so many entries a dense matrix beats the structured map (one BLAS call against several)."""

_WRITTEN_OUT: Final = 20_000_000

"""Where a matrix must lie that is nearly as far along another as its norm allows (docs/svm.md, Optimum).

Two kinds, each for matrices (singular values) and for vectors (coordinates), the entries of a matrix among them. Let N
be the norm of M, N_d its dual.

- *Aligned*: N is a sum (nuclear, l1). <C, M> = N_d(C) N(M) forces M into the top singular spaces of C: U1 S V1'
  with S symmetric, positive semidefinite; the coordinates at |c_j| = max.
- *Pinned*: N is a maximum (operator, linf). The same forces M = N(M) U1 V1' + U2 Z V2' where C lives on U1, V1; the
  coordinates with c_j not 0 are +- N(M), the others free.

A face splits every matrix in two: `free`, what M may choose, and `known`, what is then fixed. Both are parts in an
orthonormal basis, up to `skew`. `error` bounds what of the known part is lost where <C, M> is only nearly so large.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Bools, Floats


class AbstractFace(ABC):
    """The matrices M with <C, M> = N_d(C) N(M)."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """How many free coordinates there are."""

    @property
    @abstractmethod
    def skew(self) -> float:
        """How far the computed bases may be from orthonormal, relative."""

    @abstractmethod
    def free(self, *factors: Floats) -> Floats:
        """(C, dimension) the free part of the matrices a_c z_c' (of the vectors r_c), from their factors (C, ...)."""

    @abstractmethod
    def known(self, *factors: Floats) -> Floats:
        """(C, p) the rest of them, in the same order of c."""

    @abstractmethod
    def lift(self, coordinates: Floats) -> Floats:
        """The matrix (vector) with these free coordinates and no known part."""

    @abstractmethod
    def error(self, slack: float, size: float) -> float:
        """A bound of the known part that M lacks, Frobenius, where N_d(C) N(M) - <C, M> <= slack and N(M) <= size."""


@dataclass(frozen=True, eq=False)
class AlignedMatrices(AbstractFace):
    """U1 S V1': `values` (k,) are C's singular values, of which the first `r` count as largest."""

    left: Floats
    values: Floats
    right: Floats
    r: int

    @staticmethod
    def of(C: Floats, flat: float) -> "AlignedMatrices":
        """The face of C (d, d_z): singular values within `flat` of the largest, relative, count as largest."""
        U, s, Vt = np.linalg.svd(C)
        return AlignedMatrices(U, s, Vt.T, int((s >= (1.0 - flat) * s[0]).sum()))

    @property
    def dimension(self) -> int:
        return self.r * (self.r + 1) // 2

    @cached_property
    def skew(self) -> float:
        return _skew(self.left) + _skew(self.right)

    @property
    def below(self) -> float:
        """The largest singular value that does not count; 0 for none."""
        return float(self.values[self.r]) if self.r < len(self.values) else 0.0

    def free(self, *factors: Floats) -> Floats:
        a, z = factors
        x, y = a @ self.left[:, : self.r], z @ self.right[:, : self.r]
        i, j = np.triu_indices(self.r)
        out = x[:, i] * y[:, j]
        off = i != j
        out[:, off] = (out[:, off] + x[:, j[off]] * y[:, i[off]]) / math.sqrt(2.0)
        return np.asarray(out)

    def known(self, *factors: Floats) -> Floats:
        a, z = factors
        x, y, r = a @ self.left, z @ self.right, self.r
        i, j = np.triu_indices(r, 1)
        twist = (x[:, i] * y[:, j] - x[:, j] * y[:, i]) / math.sqrt(2.0)
        return np.concatenate([twist, _outer(x[:, :r], y[:, r:]), _outer(x[:, r:], y)], axis=1)

    def lift(self, coordinates: Floats) -> Floats:
        i, j = np.triu_indices(self.r)
        off = i != j
        S = np.zeros((self.r, self.r))
        S[i, j] = np.where(off, coordinates / math.sqrt(2.0), coordinates)
        S[j, i] = S[i, j]
        return np.asarray(self.left[:, : self.r] @ S @ self.right[:, : self.r].T)

    def error(self, slack: float, size: float) -> float:
        # With M = sum s_i a_i b_i', the slack is sum s_i times the halves of sum_j (c_1 - c_j)(alpha_ij^2 +
        # beta_ij^2) + c_j (alpha_ij - beta_ij)^2, alpha and beta the coordinates of a_i and b_i in C's bases.
        gap, least = float(self.values[0]) - self.below, float(self.values[self.r - 1])
        if self.r < max(len(self.left), len(self.right)):
            if not gap > 0.0:
                return math.inf
            outside = slack / gap + 2.0 * math.sqrt(size * slack / gap)
        else:
            outside = 0.0
        return outside + math.sqrt(2.0 * size * slack / least) if least > 0.0 else math.inf


@dataclass(frozen=True, eq=False)
class PinnedMatrices(AbstractFace):
    """N U1 V1' + U2 Z V2': `values` (k,) are C's singular values, the first `r` count as not 0."""

    left: Floats
    values: Floats
    right: Floats
    r: int

    @staticmethod
    def of(C: Floats, flat: float) -> "PinnedMatrices":
        """The face of C (d, d_z): singular values above `flat` times the largest count as not 0."""
        U, s, Vt = np.linalg.svd(C)
        return PinnedMatrices(U, s, Vt.T, int((s > flat * s[0]).sum()))

    @property
    def dimension(self) -> int:
        return (len(self.left) - self.r) * (len(self.right) - self.r)

    @cached_property
    def skew(self) -> float:
        return _skew(self.left) + _skew(self.right)

    def free(self, *factors: Floats) -> Floats:
        a, z = factors
        return _outer(a @ self.left[:, self.r :], z @ self.right[:, self.r :])

    def known(self, *factors: Floats) -> Floats:
        a, z = factors
        x, y, r = a @ self.left, z @ self.right, self.r
        return np.concatenate([_outer(x[:, :r], y), _outer(x[:, r:], y[:, :r])], axis=1)

    def lift(self, coordinates: Floats) -> Floats:
        Z = coordinates.reshape(len(self.left) - self.r, len(self.right) - self.r)
        return np.asarray(self.left[:, self.r :] @ Z @ self.right[:, self.r :].T)

    def error(self, slack: float, size: float) -> float:
        # sum c_i (N - u_i'M v_i) <= slack, and |M v - N u|^2 <= 2 N (N - u'M v); the same on the other side.
        return 2.0 * math.sqrt(size * slack / float(self.values[self.r - 1])) if self.r else 0.0


class AbstractCoordinates(AbstractFace):
    """Faces on which single coordinates are free: those of norms of entries and of diagonal weights."""

    @property
    @abstractmethod
    def loose(self) -> Bools:
        """Which coordinates are free, of the shape of C."""

    @property
    def dimension(self) -> int:
        return int(self.loose.sum())

    @property
    def skew(self) -> float:
        return 0.0

    def free(self, *factors: Floats) -> Floats:
        return _entries(factors, self.loose)

    def known(self, *factors: Floats) -> Floats:
        return _entries(factors, ~self.loose)

    def lift(self, coordinates: Floats) -> Floats:
        out = np.zeros(self.loose.shape)
        out[self.loose] = coordinates
        return out


@dataclass(frozen=True, eq=False)
class AlignedCoordinates(AbstractCoordinates):
    """The coordinates `at`, of the shape of C, at which |c_j| counts as largest."""

    values: Floats
    at: Bools

    @staticmethod
    def of(C: Floats, flat: float) -> "AlignedCoordinates":
        """The face of C (d,) or (d, d_z)."""
        size = np.abs(C)
        return AlignedCoordinates(size, size >= (1.0 - flat) * size.max())

    @property
    def loose(self) -> Bools:
        return self.at

    def error(self, slack: float, size: float) -> float:
        gap = float(self.values.max()) - self.below
        return slack / gap if gap > 0.0 else math.inf

    @property
    def below(self) -> float:
        """The largest value that does not count."""
        return float(self.values[~self.at].max(initial=0.0))

    def clear(self, moved: float) -> bool:
        """Whether no coordinate outside can count as largest when every value may change by `moved`."""
        return self.below + moved < 1.0 - 1e-12


@dataclass(frozen=True, eq=False)
class PinnedCoordinates(AbstractCoordinates):
    """The coordinates `at`, of the shape of C, at which c_j counts as not 0 are fixed, the others free."""

    values: Floats
    at: Bools

    @staticmethod
    def of(C: Floats, flat: float) -> "PinnedCoordinates":
        """The face of C (d,) or (d, d_z)."""
        size = np.abs(C)
        return PinnedCoordinates(size, size > flat * size.max())

    @property
    def loose(self) -> Bools:
        return ~self.at

    def error(self, slack: float, size: float) -> float:
        # sum |c_j| (N - |M_j|) <= slack
        return slack / float(self.values[self.at].min(initial=math.inf))

    def clear(self, moved: float) -> bool:
        """Whether no coordinate that counts can be 0 when every value may change by `moved`."""
        return float(self.values[self.at].min(initial=math.inf)) > moved * (1.0 + 1e-12)


def _entries(factors: tuple[Floats, ...], at: Bools) -> Floats:
    """(C, p) the entries `at` of the vectors, or of the matrices a_c z_c', of which no others are formed."""
    if len(factors) == 1:
        return np.asarray(factors[0][:, at])
    (a, z), (i, j) = factors, np.nonzero(at)
    return np.asarray(a[:, i] * z[:, j])


def _outer(x: Floats, y: Floats) -> Floats:
    """(C, p q) the products x_ci y_cj, written out."""
    return np.asarray((x[:, :, None] * y[:, None, :]).reshape(len(x), x.shape[1] * y.shape[1]))


def _skew(U: Floats) -> float:
    return float(np.linalg.norm(U.T @ U - np.eye(U.shape[1]))) + 4e-16 * U.size

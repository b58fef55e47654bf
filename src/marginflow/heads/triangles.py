"""A head reduced to two triangles: the spectrum of K'Q without a D x D matrix, to the last digits of small values."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import qr

from marginflow.arrays import Floats, Ints
from marginflow.heads.head import Head
from marginflow.heads.rotary import Rotary


@dataclass(frozen=True, eq=False)
class Triangles:
    """K' = U_k keys, Q' = U_q queries with orthonormal columns U: everything about K'Q but its singular vectors.

    Attributes:
        keys, queries: (r, m) float64, r = min(D, m).
    """

    keys: Floats
    queries: Floats

    @cached_property
    def singular(self) -> Floats:
        """(r,) the singular values of K'Q, descending.

        The product of the triangles loses small values where rows differ in size. So rows of K become units, their
        sizes go to Q, and Q is pivoted: the core is then graded by columns, and two more pivoted QR steps leave a
        matrix near diagonal (Drmac, SIAM J. Sci. Comput. 19, 1998; measured in docs/audit.md).
        """
        return _spectrum(self.keys, self.queries)

    @cached_property
    def key_gram(self) -> Floats:
        """(m, m) K K'."""
        return self.keys.T @ self.keys

    @cached_property
    def query_gram(self) -> Floats:
        """(m, m) Q Q'."""
        return self.queries.T @ self.queries

    @cached_property
    def factor_spectra(self) -> tuple[Floats, Floats]:
        """The singular values of K and of Q, descending."""
        return _singular(self.keys), _singular(self.queries)

    def at_offset(self, rotation: Rotary, offset: float) -> "Triangles":
        """Those of W(offset) = K' R(offset) Q, a query `offset` positions after its token."""
        return Triangles(self.keys, rotation.apply(self.queries, offset))


def triangles(head: Head) -> Triangles:
    """Reduce the factors of `head`; neither scale nor gains are in."""
    return triangles_of(head.K, head.Q)


def triangles_of(K: Floats, Q: Floats) -> Triangles:
    """The triangles of two factors (m, D) and (m, D_z)."""
    return Triangles(_triangle(K.T), _triangle(Q.T))


def _spectrum(keys: Floats, queries: Floats) -> Floats:
    size = np.linalg.norm(keys, axis=0)
    units = np.where(size > 0.0, size, 1.0)
    # Columns of `queries` are rows of Q: they take the sizes, and pivoting grades the core.
    graded, order = _pivoted(queries * size)
    core = (keys / units)[:, order] @ graded.T
    once, _ = _pivoted(core)
    twice, _ = _pivoted(np.ascontiguousarray(once.T))
    return _singular(twice)


def _pivoted(A: Floats) -> tuple[Floats, Ints]:
    R, order = qr(A, mode="r", pivoting=True, check_finite=False)
    return np.asarray(R[: min(A.shape)], dtype=np.float64), np.asarray(order, dtype=np.intp)


def _triangle(A: Floats) -> Floats:
    return np.asarray(np.linalg.qr(A, mode="r"), dtype=np.float64)


def _singular(A: Floats) -> Floats:
    return np.asarray(np.linalg.svd(A, compute_uv=False), dtype=np.float64)

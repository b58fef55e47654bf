"""The face of an optimum: what a norm's curvature is there, and where W is free (docs/svm-nuclear.md, section 3)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.svm.scaling.namespace import namespace_of
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.first_order import Norm


ROWS = 64  # of H at a time: so many times some thousand columns stay in the cache


class Face(Protocol):
    """The curvature of a norm at one point, in the basis of its singular vectors; p = min(d, d_z)."""

    @property
    def w(self) -> Floats:
        """(p,) the singular values of W = prox(Y)."""

    @property
    def value(self) -> float:
        """N(W)."""

    def psi(self, M: Floats) -> Floats:
        """alpha_ij M_ij + beta_ij M_ji of M (d, d_z)."""

    def gram(self, a: Floats, z: Floats, sample: Ints) -> Floats:
        """(J, J) the lower triangle of <A_k, Psi(A_l)>; A_c = a_c z_sample(c)', a (J, d), z (n, d_z) in this basis."""

    def equations(self, a: Floats, z: Floats) -> tuple[Floats, Floats]:
        """E (J, q), e (q,): E' lambda = e keeps B where W is free; a (J, d), z (J, d_z)."""

    def free(self, multipliers: Floats) -> Floats:
        """(d, d_z) the free part of dW for the multipliers (q,) of those equations."""

    def without_matrix(self, A: Operator, U: Floats, Vt: Floats) -> "System | None":
        """Newton's system of the rows of `A` (J), solved without its matrix; None where that does not pay."""


class System(Protocol):
    """Newton's system of some rows, all of which carry dual."""

    def solve(self, dual: Floats, margins: Floats, accuracy: float) -> tuple[Floats, Floats]:
        """The new dual (J,) and the free part (d, d_z) of dW, from the dual and the margins of the rows (J,) now.

        To a relative `accuracy` of the system.
        """


class CurvedNorm(Norm, Protocol):
    """A norm whose faces are known.

    Attributes:
        balance: |omega W|_F / |B|_F in Y; measured, any value from a third to three times it does as well.
    """

    @property
    def balance(self) -> float: ...

    def face(self, s: Floats, omega: float, shape: tuple[int, int]) -> Face:
        """The face at the singular values s (p,), descending, of Y = omega W + B with N_d(B) near 1."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """The Psi with alpha = f g' + g f' and beta = f k' + k f': all that is separable in a face's curvature.

    Attributes:
        f, g: pairs of weights for the d left and the d_z right singular vectors.
        k: (p,) weights of the transposed part.
    """

    f: tuple[Floats, Floats]
    g: tuple[Floats, Floats]
    k: Floats

    def psi(self, M: Floats) -> Floats:
        """alpha_ij M_ij + beta_ij M_ji, in the namespace of `M`."""
        xp, p = namespace_of(M), len(self.k)
        outer = xp.module.outer
        (f, fz), (g, gz), k = *((xp.put(x), xp.put(y)) for x, y in (self.f, self.g)), xp.put(self.k)
        out: Floats = (outer(f, gz) + outer(g, fz)) * M
        out[:p, :p] += (outer(f[:p], k) + outer(k, f[:p])) * M[:p, :p].T
        return out

    def gram(self, a: Floats, z: Floats, sample: Ints) -> Floats:
        """<A_k, Psi(A_l)> by products of vectors; no d x d_z matrix is formed. The lower triangle alone is filled.

        (a_k f a_l)(z_k g z_l) + (a_k g a_l)(z_k f z_l) + (a_k f z_l)(z_k k a_l) + (a_k k z_l)(z_k f a_l), some rows at
        a time, which stay in the cache; what involves queries only is computed once per pair of samples.
        """
        p = len(self.k)
        # zero weights are left out: f or g lives on the face alone
        fa, fz = np.flatnonzero(self.f[0]), np.flatnonzero(self.f[1])
        ga, gz = np.flatnonzero(self.g[0]), np.flatnonzero(self.g[1])
        both = fa[fa < p]
        af, ag, zf, zg = a[:, fa] * self.f[0][fa], a[:, ga] * self.g[0][ga], z[:, fz], z[:, gz]
        a_f, a_g, a_p, z_p = a[:, fa], a[:, ga], a[:, :p] * self.k, z[:, :p]
        qf, qg = (zf * self.f[1][fz]) @ zf.T, (zg * self.g[1][gz]) @ zg.T
        right = (a[:, both] * self.f[0][both]) @ z[:, both].T  # (J, n) a_k f z_i
        below = a_p @ z_p.T  # (J, n) a_k k z_i
        counts = np.bincount(sample, minlength=len(z))
        H = np.zeros((len(a), len(a)), dtype=a.dtype)
        for start in range(0, len(a), ROWS):
            rows = slice(start, min(start + ROWS, len(a)))
            end = rows.stop
            own, first = sample[rows], sample[end - 1] + 1
            each = counts[:first].copy()
            each[-1] -= each.sum() - end
            block = (af[rows] @ a_f[:end].T) * np.repeat(qg[own, :first], each, axis=1)
            block += (ag[rows] @ a_g[:end].T) * np.repeat(qf[own, :first], each, axis=1)
            block += np.repeat(right[rows, :first], each, axis=1) * below[:end].T[own]
            block += np.repeat(below[rows, :first], each, axis=1) * right[:end].T[own]
            H[rows, :end] = block
        return H


def symmetric_parts(a: Floats, z: Floats, rank: int) -> Floats:
    """(J, rank (rank + 1) / 2) svec of the symmetric parts of a_c z_c', of the first `rank` coordinates of each."""
    i, j = np.triu_indices(rank)
    E = a[:, i] * z[:, j]
    E += a[:, j] * z[:, i]
    E *= np.where(i == j, 0.5, np.sqrt(0.5))
    return E


def pad(weights: Floats, length: int, value: float) -> Floats:
    """Weights for the singular vectors beyond min(d, d_z)."""
    return np.concatenate((weights, np.full(length - len(weights), value)))

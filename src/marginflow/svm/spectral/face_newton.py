"""Semismooth Newton on the face of the optimum: quadratic convergence from a first-order guess (docs/svm-nuclear.md).

With Y = omega W + B, B = A* lambda, optimality is W = prox(Y): Y = U diag(s) V', W = U diag(w) V' and
B = U diag(b) V' share their singular vectors, and a change of B moves W by

    dW = U [Psi(U' dB V) + free part] V',   Psi(M)_ij = alpha_ij M_ij + beta_ij M_ji,

where dB vanishes on the directions in which W is free. A norm says what alpha, beta and the free directions
are (its `Face`); this file does the rest. Derived in docs/svm-nuclear.md, section 3.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import dsymv, dsyrk

from marginflow.arrays import Floats, Ints
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.first_order import Norm, Point, feasible, lower_bound


STEPS = 8
ROWS = 64  # of H at a time: so many times some thousand columns stay in the cache
RIDGE = 1e-13  # relative; duplicated constraints leave only the sum of their duals determined


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
        """alpha_ij M_ij + beta_ij M_ji."""
        p, f = len(self.k), self.f[0][: len(self.k)]
        out = (np.outer(self.f[0], self.g[1]) + np.outer(self.g[0], self.f[1])) * M
        out[:p, :p] += (np.outer(f, self.k) + np.outer(self.k, f)) * M[:p, :p].T
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
        H = np.zeros((len(a), len(a)))
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


def pad(weights: Floats, length: int, value: float) -> Floats:
    """Weights for the singular vectors beyond min(d, d_z)."""
    return np.concatenate((weights, np.full(length - len(weights), value)))


def face_newton(A: Operator, norm: CurvedNorm, start: Point, tol: float, *, most: int) -> tuple[Point, int]:
    """Polish `start`; return the best point met and the number of steps.

    Gives up after three steps that do not halve the gap, or when more than `most` constraints carry dual: the
    linear system would then cost more than the first-order steps it saves.
    """
    best, misses = start, 0
    B = A.adjoint(start.dual)
    size = norm.dual_value(B)
    binding = float(start.dual @ A.margins(start.W))
    if not (size > 0.0 and binding > 0.0):
        return start, 0
    dual, B = start.dual / size, B / size
    W = start.W * (float(start.dual @ A.h) / binding)  # so that lambda . (margins - h) = 0
    for step in range(STEPS + 1):
        omega = norm.balance * float(np.linalg.norm(B)) / float(np.linalg.norm(W))
        U, s, Vt = np.linalg.svd(omega * W + B)
        face = norm.face(s, omega, A.shape)
        W = (U[:, : len(s)] * face.w) @ Vt[: len(s)]
        margins = A.margins(W)
        moved, upper = feasible(A, norm, W, face.value, margins)
        point = Point(moved, dual, upper, lower_bound(A, dual, norm.dual_value(B)))
        misses = misses + 1 if point.gap > 0.5 * best.gap else 0
        best = best.or_better(point)
        if best.gap <= tol or misses == 3 or point.gap > 5.0 * best.gap or step == STEPS:
            break
        lam, slack = dual * A.unit, margins / A.unit - A.level
        J = np.flatnonzero((lam > float(lam[A.leads].mean()) * slack) | A.equal)
        if not 0 < len(J) <= most:
            break
        try:
            on_J, free = _solve(A, face, U, Vt, J, dual[J], margins[J])
        except LinAlgError:
            break
        dual = np.zeros(len(A))
        dual[J] = on_J
        W = W + U @ (face.psi(U.T @ A.adjoint(dual) @ Vt.T) + free) @ Vt
        dual = np.maximum(dual, A.floor)
        B = A.adjoint(dual)
        if not (0.0 < float(np.abs(W).max()) < 1e100 and 0.0 < float(np.abs(B).max()) < 1e100):
            break
    return best, step


def _solve(
    A: Operator, face: Face, U: Floats, Vt: Floats, J: Ints, dual: Floats, margins: Floats
) -> tuple[Floats, Floats]:
    """The new dual on J and the free part of dW: [H E; E' 0] [lambda; S] = [h_J - A_J W; e]."""
    a, z, sample = A.a[J] @ U, A.queries @ Vt.T, A.sample[J]
    H = face.gram(a, z, sample)
    E, e = face.equations(a, z[sample])
    # Of the symmetric H only the lower triangle is known: in the order of LAPACK, the upper one.
    known = H.T
    first, second = A.h[J] - margins - dsymv(1.0, known, dual, lower=0), e - E.T @ dual
    # H alone is singular; adding rho E E' to it changes nothing but the multipliers.
    rho = float(np.trace(H)) / max(float(np.vdot(E, E)), 1e-300)
    if E.size:
        known = dsyrk(rho, E.T, trans=1, lower=0, beta=1.0, c=known, overwrite_c=1)
    # With H = R'R the Schur complement E' H^-1 E is Y'Y, Y = R^-T E: one triangular solve in place of two.
    R = _factor(known)
    Y = _solve_triangular(R, E, transposed=True)
    y = _solve_triangular(R, first + rho * (E @ second), transposed=True)
    S = cho_solve((_factor(Y.T @ Y), False), Y.T @ y - second, check_finite=False)
    return dual + _solve_triangular(R, y - Y @ S), face.free(S)


def _factor(H: Floats) -> Floats:
    """The upper Cholesky factor of H, given by its upper triangle, plus a relative ridge."""
    H[np.diag_indices_from(H)] += RIDGE * float(np.trace(H)) / len(H) + 1e-300
    return np.asarray(cholesky(H, lower=False, overwrite_a=True, check_finite=False))


def _solve_triangular(R: Floats, b: Floats, *, transposed: bool = False) -> Floats:
    return np.asarray(solve_triangular(R, b, lower=False, trans=1 if transposed else 0, check_finite=False))

"""Semismooth Newton on the face of the optimum: quadratic convergence from a first-order guess.

With Y = omega W + B, B = A* lambda, optimality is W = prox(Y): Y = U diag(s) V', W = U diag(w) V',
B = U diag(b) V' share their singular vectors, and a change of B moves W by

    dW = U [Psi(U' dB V) + free part] V',   Psi(M)_ij = alpha_ij M_ij + beta_ij M_ji,

where dB vanishes on the directions in which W is free. A norm says what alpha, beta and the free directions
are (its `Face`); this file does the rest. Derived in docs/svm-nuclear.md, section 3.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow.arrays import Floats, Ints
from marginflow.svm.first_order import Norm, Point, lower_bound, upper_bound
from marginflow.svm.presolve import Operator


STEPS = 8
RIDGE = 1e-13  # relative; duplicated constraints make the system singular, their sum is still determined


class Face(Protocol):
    """The curvature of a norm at one point, in the basis of its singular vectors; p = min(d, d_z)."""

    omega: float
    w: Floats
    """(p,) singular values of W = prox(Y)."""

    def psi(self, M: Floats) -> Floats:
        """alpha_ij M_ij + beta_ij M_ji."""

    def gram(self, a: Floats, z: Floats, sample: Ints) -> Floats:
        """(J, J) <A_k, Psi(A_l)> of A_c = a_c z_sample(c)'."""

    def equations(self, a: Floats, z: Floats) -> tuple[Floats, Floats]:
        """E (J, q) and e (q,): E' lambda = e says that B stays put on the free directions of W."""

    def free(self, multipliers: Floats) -> Floats:
        """(d, d_z) the free part of dW for the multipliers (q,) of those equations."""


class Curved(Norm, Protocol):
    """A norm whose faces are known."""

    def face(self, s: Floats, omega: float, shape: tuple[int, int]) -> Face:
        """The face at singular values s (descending) of Y = omega W + B with N_d(B) near 1."""


def face_newton(A: Operator, norm: Curved, start: Point, tol: float, *, most: int) -> tuple[Point, int]:
    """Polish `start`; return the best point met and the number of steps.

    Gives up when a step fails to halve the gap twice in a row, or when more than `most` constraints carry
    dual (the linear system would cost more than the first-order steps it saves).
    """
    best, misses, steps = start, 0, 0
    B = A.adjoint(start.dual)
    scale = 1.0 / norm.dual_value(B)
    dual, B = scale * start.dual, scale * B
    margins = A.margins(start.W)
    length = float(dual @ A.h) / float(dual @ margins)  # so that lambda . (margin - h) = 0
    W = length * start.W
    margins = length * margins
    for steps in range(STEPS + 1):
        omega = norm.balance(W, B)
        U, s, Vt = np.linalg.svd(omega * W + B, full_matrices=True)
        face = norm.face(s, omega, A.shape)
        p = len(s)
        W = (U[:, :p] * face.w) @ Vt[:p]
        margins = A.margins(W)
        point = Point(
            W,
            dual,
            upper_bound(A, face.value, margins),
            lower_bound(A, dual, norm.dual_value(B)),
        )
        before, best = best.gap, best.or_better(point)
        print('   newton', steps, point.gap, 'r', (face.w>0).sum(), 'J', (dual>0).sum())
        misses = misses + 1 if point.gap > 0.5 * before else 0
        if best.gap <= tol or misses == 3 or steps == STEPS:
            break
        lam, slack = dual * A.h, margins / A.h - 1.0
        J = np.flatnonzero(lam > lam.mean() * slack)
        if len(J) > most:
            break
        moved = _step(A, face, U, Vt, J, dual, margins)
        if moved is None:
            break
        dual = np.zeros(len(A))
        dual[J] = moved[0]
        B_J = A.adjoint(dual)
        W = W + U @ (face.psi(U.T @ B_J @ Vt.T) + face.free(moved[1])) @ Vt
        dual = np.maximum(dual, 0.0)
        B = A.adjoint(dual)
    return best, steps


def _step(A, face, U, Vt, J, dual, margins):
    """Solve [H E; E' 0] [lambda; S] = [h_J - A_J W; e] for the new dual on J and the free part of dW."""
    a = A.a[J] @ U
    z = A.queries @ Vt.T
    H = face.gram(a, z, A.sample[J])
    E, e = face.equations(a, z[A.sample[J]])
    first = A.h[J] - margins[J] - H @ dual[J]
    second = e - E.T @ dual[J]
    # H alone is singular; adding rho E E' changes nothing once E' dlam is known.
    rho = np.trace(H) / max(float(np.vdot(E, E)), 1e-300)
    K = H + rho * (E @ E.T)
    K[np.diag_indices_from(K)] += RIDGE * np.trace(K) / len(K) + 1e-300
    try:
        factor = cho_factor(K, lower=True, check_finite=False)
        X = cho_solve(factor, E, check_finite=False)
        y = cho_solve(factor, first + rho * (E @ second), check_finite=False)
        schur = E.T @ X
        schur[np.diag_indices_from(schur)] += RIDGE * np.trace(schur) / len(schur)
        S = cho_solve(cho_factor(schur, lower=True, check_finite=False), E.T @ y - second, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    change = y - X @ S
    return dual[J] + change, S

"""Semismooth Newton on the face of the optimum: quadratic convergence from a first-order guess (docs/svm-nuclear.md).

With Y = omega W + B, B = A* lambda, optimality is W = prox(Y): Y = U diag(s) V', W = U diag(w) V' and
B = U diag(b) V' share their singular vectors, and a change of B moves W by

    dW = U [Psi(U' dB V) + free part] V',   Psi(M)_ij = alpha_ij M_ij + beta_ij M_ji,

where dB vanishes on the directions in which W is free. A norm says what alpha, beta and the free directions
are (its `Face`); this file does the rest. Derived in docs/svm-nuclear.md, section 3.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import dsymv, dsyrk

from marginflow.arrays import Floats, Ints
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.face import CurvedNorm, Face
from marginflow.svm.spectral.first_order import Point, feasible, lower_bound


Solved = tuple[Floats, Floats]
"""The new dual of some rows, and the free part of dW."""

STEPS = 12
DIRECT = 200  # rows up to which factors in double precision cost no more than anything else
FACTORED = 4000  # rows above which nothing is factored: first-order steps reach 1e-9 sooner (measured)
ROUGH = 0.05  # relative accuracy of products far from the optimum
RIDGE = 1e-13  # relative; duplicated constraints leave only the sum of their duals determined


def face_newton(
    A: Operator, norm: CurvedNorm, start: Point, tol: float, *, most: int | None = None, direct: int = DIRECT
) -> tuple[Point, int]:
    """Polish `start`; return the best point met and the number of steps.

    Gives up after three steps that do not halve the gap, or when more than `most` constraints carry dual.
    Up to `direct` of them the system is factored; beyond it is solved by products where the norm has these, else
    factored up to FACTORED.
    """
    A = A.copy or A
    best, misses, xp = start, 0, A.xp
    dual, W = xp.put(start.dual), xp.put(start.W)
    B = A.adjoint(dual)
    size = norm.dual_value(B)
    binding = float(dual @ A.margins(W))
    if not (size > 0.0 and binding > 0.0):
        return start, 0
    W = W * (float(dual @ A.h) / binding)  # so that lambda . (margins - h) = 0
    dual, B = dual / size, B / size
    for step in range(STEPS + 1):
        omega = norm.balance * xp.norm(B) / xp.norm(W)
        U, s, Vt = xp.svd(omega * W + B)
        face = norm.face(s, omega, A.shape)
        W = (U[:, : len(s)] * xp.put(face.w)) @ Vt[: len(s)]
        margins = A.margins(W)
        moved, upper = feasible(A, norm, W, face.value, margins)
        point = Point(xp.get(moved), xp.get(dual), upper, lower_bound(A, dual, norm.dual_value(B)))
        misses = misses + 1 if point.gap > 0.5 * best.gap else 0
        best = best.or_better(point)
        if best.gap <= tol or misses == 3 or point.gap > 5.0 * best.gap or step == STEPS:
            break
        lam, slack = dual * A.unit, margins / A.unit - A.level
        J = xp.nonzero((lam > float(lam[A.leads].mean()) * slack) | A.equal)
        if not 0 < len(J) <= (len(A) if most is None else most):
            break
        try:
            system = face.without_matrix(A.restrict(J), U, Vt) if len(J) > direct else None
            if system is not None:
                i = xp.put(J)
                on_J, free = system.solve(dual[i], margins[i], _forcing(point.gap, tol))
            elif len(J) <= FACTORED:
                on_J, free = _solve(A, face, (U, Vt), J, dual, margins)
            else:
                break
        except LinAlgError:
            break
        dual = xp.zeros(len(A), A.h)
        dual[xp.put(J)] = on_J
        B = A.adjoint(dual)
        W = W + U @ (face.psi(U.T @ B @ Vt.T) + free) @ Vt
        if bool((dual < A.floor).any()):
            dual = xp.module.maximum(dual, A.floor)
            B = A.adjoint(dual)
        if not (0.0 < float(abs(W).max()) < 1e100 and 0.0 < float(abs(B).max()) < 1e100):
            break
    return best, step


def _forcing(gap: float, tol: float) -> float:
    """How accurate a step at this gap has to be: no more than its square, or than what `tol` asks, would show."""
    return min(ROUGH, max(gap, 0.1 * tol / gap))


def _solve(A: Operator, face: Face, basis: tuple[Floats, Floats], J: Ints, dual: Floats, margins: Floats) -> Solved:
    """The new dual on J and the free part of dW: [H E; E' 0] [lambda; S] = [h_J - A_J W; e]. By NumPy."""
    xp, (U, Vt), i = A.xp, basis, A.xp.put(J)
    a, z, h, dual, margins = (xp.get(x) for x in (A.a[i] @ U, A.queries @ Vt.T, A.h[i], dual[i], margins[i]))
    sample = A.sample[J]
    H = face.gram(a, z, sample)
    E, e = face.equations(a, z[sample])
    # Of the symmetric H only the lower triangle is known: in the order of LAPACK, the upper one.
    known = H.T
    first, second = h - margins - dsymv(1.0, known, dual, lower=0), e - E.T @ dual
    # H alone is singular; adding rho E E' to it changes nothing but the multipliers.
    rho = float(np.trace(H)) / max(float(np.vdot(E, E)), 1e-300)
    if E.size:
        known = dsyrk(rho, E.T, trans=1, lower=0, beta=1.0, c=known, overwrite_c=1)
    # With H = R'R the Schur complement E' H^-1 E is Y'Y, Y = R^-T E: one triangular solve in place of two.
    R = _factor(known)
    Y = _solve_triangular(R, E, transposed=True)
    y = _solve_triangular(R, first + rho * (E @ second), transposed=True)
    S = cho_solve((_factor(Y.T @ Y), False), Y.T @ y - second, check_finite=False)
    return xp.put(dual + _solve_triangular(R, y - Y @ S)), xp.put(face.free(S))


def _factor(H: Floats) -> Floats:
    """The upper Cholesky factor of H, given by its upper triangle, plus a relative ridge."""
    H[np.diag_indices_from(H)] += RIDGE * float(np.trace(H)) / len(H) + 1e-300
    return np.asarray(cholesky(H, lower=False, overwrite_a=True, check_finite=False))


def _solve_triangular(R: Floats, b: Floats, *, transposed: bool = False) -> Floats:
    return np.asarray(solve_triangular(R, b, lower=False, trans=1 if transposed else 0, check_finite=False))

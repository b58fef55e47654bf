"""Primal-dual interior point for the nuclear norm as a semidefinite program (design 6, "Fallback").

    min (tr X11 + tr X22) / 2   s.t.  a_c' X12 z_c - x_c = h_c,  X = [X11 X12; X12' X22] >= 0,  x >= 0
    max h'lambda                s.t.  S = [I -B; -B' I] / 2 >= 0,  B = A* lambda,  lambda >= 0

S is a function of lambda alone, so lambda stays strictly feasible and its bound holds at every step, also on
data on which first-order steps crawl. HKM direction, predictor and corrector; derived in docs/svm-nuclear.md,
section 4.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow.arrays import Floats
from marginflow.svm.first_order import Norm, Point, lower_bound, upper_bound
from marginflow.svm.presolve import Operator


STEPS = 60


def interior_point(A: Operator, norm: Norm, start: Point, tol: float, hopeless: float) -> tuple[Point, int]:
    """Solve from scratch, cost O(C^3 + C^2 d) a step; return the best point met and the number of steps.

    Stops at gap `tol`, at a lower bound beyond `hopeless`, or when steps no longer help.
    """
    state = _start(A, start)
    best = own = Point(state.X[: A.shape[0], A.shape[0] :], state.dual, np.inf, 0.0)
    stale = 0
    for step in range(STEPS):
        W = state.X[: A.shape[0], A.shape[0] :]
        upper = upper_bound(A, norm.value(W), A.margins(W))
        lower = lower_bound(A, state.dual, norm.dual_value(state.B))
        stale = 0 if upper < own.upper or lower > 1.01 * own.lower else stale + 1
        own = own.or_better(Point(W, state.dual, upper, lower))
        best = start.or_better(own)
        if __import__("os").environ.get('V'): print('   ipm', step, own.gap, own.upper, own.lower, state.mu)
        if best.gap <= tol or best.lower > hopeless or stale > 6:
            break
        try:
            state = _advance(A, state)
        except np.linalg.LinAlgError:  # X or S is no longer positive definite in float64
            break
    return best, step


@dataclass(frozen=True, eq=False)
class _State:
    """A strictly feasible dual and a positive definite primal; inverse = S^-1."""

    X: Floats
    slack: Floats
    dual: Floats
    B: Floats
    inverse: Floats

    @property
    def mu(self) -> float:
        S_trace = 0.5 * float(np.trace(self.X)) - float(np.vdot(self.X[: len(self.B), len(self.B) :], self.B))
        return (S_trace + float(self.slack @ self.dual)) / (len(self.X) + len(self.dual))


def _start(A: Operator, guess: Point) -> _State:
    """lambda along 1/h with |B| = 1/2, and X, x central and as large as the bounds known so far ask for."""
    dual = 1.0 / A.h
    B = A.adjoint(dual)
    top = max(float(np.linalg.norm(B, 2)), 1e-14 * float(dual.sum()))  # B = 0: hopeless at once
    dual, B = dual * (0.5 / top), B * (0.5 / top)
    inverse = _inverse(B)
    mu = max(float(A.h @ dual), guess.lower, guess.upper if guess.upper < 1e8 * guess.lower else 0.0)
    return _State(mu * inverse, mu / dual, dual, B, inverse)


def _inverse(B: Floats) -> Floats:
    """S^-1 for S = [I -B; -B' I] / 2, |B| < 1: eigenvectors (u, +-v)/sqrt 2 with eigenvalues (1 -+ b)/2."""
    d, d_z = B.shape
    U, b, Vt = np.linalg.svd(B)
    p = len(b)
    inner = 1.0 / np.maximum((1.0 - b) * (1.0 + b), 1e-300)
    out = np.empty((d + d_z, d + d_z))
    left = np.concatenate((inner, np.ones(d - p)))
    right = np.concatenate((inner, np.ones(d_z - p)))
    out[:d, :d] = 2.0 * (U * left) @ U.T
    out[d:, d:] = 2.0 * (Vt.T * right) @ Vt
    out[:d, d:] = 2.0 * (U[:, :p] * (b * inner)) @ Vt[:p]
    out[d:, :d] = out[:d, d:].T
    return out


def _advance(A: Operator, state: _State) -> _State:
    """One predictor-corrector step (Mehrotra)."""
    d = A.shape[0]
    X, x, dual, T = state.X, state.slack, state.dual, state.inverse
    factor = _factor(_schur(A, X, T, x / dual))
    mu = state.mu
    inverse_margins = A.margins(T[:d, d:]) - 1.0 / dual

    def direction(target, second, second_slack):
        rhs = A.h - target * inverse_margins + A.margins(second[:d, d:]) - second_slack
        ddual = cho_solve(factor, rhs, check_finite=False)
        dB = A.adjoint(ddual)
        dX = target * T - X + _sym(X @ _lift(dB) @ T) - second
        dx = target / dual - x - x * ddual / dual - second_slack
        return dX, dx, ddual, dB

    zero, zeros = np.zeros_like(X), np.zeros_like(x)
    dX, dx, ddual, dB = direction(0.0, zero, zeros)
    primal, dual_length = _lengths(state, dX, dx, ddual, dB)
    ahead = _inner(X + primal * dX, state.B + dual_length * dB) + float(
        (x + primal * dx) @ (dual + dual_length * ddual)
    )
    ratio = max(ahead, 0.0) / (len(X) + len(x)) / mu
    target = mu * min(ratio**3 if ratio < 1 else 1.0, 1.0)
    # dX dS = -dX lift(dB), the second-order part of X S
    second = _sym(dX @ -_lift(dB) @ T)
    dX, dx, ddual, dB = direction(target, second, dx * ddual / dual)
    primal, dual_length = _lengths(state, dX, dx, ddual, dB)
    back = 0.9 + 0.09 * min(primal, dual_length)
    primal, dual_length = min(1.0, back * primal), min(1.0, back * dual_length)
    dual = dual + dual_length * ddual
    B = A.adjoint(dual)
    return _State(X + primal * dX, x + primal * dx, dual, B, _inverse(B))


def _schur(A: Operator, X: Floats, T: Floats, diagonal: Floats) -> Floats:
    """H_kl = <A_k, X A_l S^-1> + [k = l] x_k / lambda_k through products of vectors (design 6)."""
    d = A.shape[0]
    a, z, s = A.a, A.queries, A.sample
    pair = np.ix_(s, s)
    H = (a @ X[:d, :d] @ a.T) * (z @ T[d:, d:] @ z.T)[pair]
    H += (a @ T[:d, :d] @ a.T) * (z @ X[d:, d:] @ z.T)[pair]
    crossed = (a @ X[:d, d:] @ z.T)[:, s] * (a @ T[:d, d:] @ z.T)[:, s].T
    H += crossed
    H += crossed.T
    H *= 0.25
    H[np.diag_indices_from(H)] += diagonal
    return H


def _factor(H: Floats) -> tuple[Floats, bool]:
    """The Cholesky factor of H, with as little added to its diagonal as it takes."""
    diagonal = H.diagonal().copy()
    for ridge in (1e-16, 1e-14, 1e-12, 1e-10, 1e-8):
        H[np.diag_indices_from(H)] = diagonal * (1.0 + ridge)
        try:
            return cho_factor(H, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the Schur complement is not positive definite")


def _lengths(state: _State, dX: Floats, dx: Floats, ddual: Floats, dB: Floats) -> tuple[float, float]:
    """The longest primal and dual steps that stay in the cone."""
    L = np.linalg.cholesky(state.X)
    half = np.linalg.solve(L, dX)
    lowest = float(np.linalg.eigvalsh(_sym(np.linalg.solve(L, half.T)))[0])
    ratio = float((dx / state.slack).min())
    primal = 1.0 / max(-lowest, -ratio, 1e-300)
    L = np.linalg.cholesky(state.inverse)
    lowest = float(np.linalg.eigvalsh(_sym(L.T @ -_lift(dB) @ L))[0])
    ratio = float((ddual / state.dual).min())
    return min(primal, 1e10), min(1.0 / max(-lowest, -ratio, 1e-300), 1e10)


def _lift(B: Floats) -> Floats:
    """[0 B; B' 0] / 2, which is -dS for dB = B."""
    d, d_z = B.shape
    out = np.zeros((d + d_z, d + d_z))
    out[:d, d:] = 0.5 * B
    out[d:, :d] = 0.5 * B.T
    return out


def _inner(X: Floats, B: Floats) -> float:
    """<X, S(B)>."""
    d = len(B)
    return 0.5 * float(np.trace(X)) - float(np.vdot(X[:d, d:], B))


def _sym(M: Floats) -> Floats:
    return 0.5 * (M + M.T)

"""Primal-dual interior point for the nuclear norm as a semidefinite program (docs/svm-nuclear.md).

    min (tr X11 + tr X22) / 2   s.t.  a_c' X12 z_c - x_c = h_c,  X = [X11 X12; X12' X22] >= 0,  x >= 0
    max h'lambda                s.t.  S = [I -B; -B' I] / 2 >= 0,  B = A* lambda,  lambda >= 0

Equalities have no x, and multipliers of any sign.

S is a function of lambda alone, so lambda stays strictly feasible and its bound holds at every step, also on
data on which first-order steps crawl. HKM direction, predictor and corrector; derived in docs/svm-nuclear.md,
section 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow.arrays import Bools, Floats
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.first_order import Point
from marginflow.svm.spectral.interior_point import Pair


def nuclear_interior(A: Operator, guess: Point) -> Iterator[Pair]:
    """Yield (W, lambda) of every step until none can be made, cost O(C^3 + C^2 d) a step."""
    d, state = A.shape[0], _start(A, guess)
    while True:
        yield state.X[:d, d:], state.dual
        state = _advance(A, state)


@dataclass(frozen=True, eq=False)
class _State:
    """A strictly feasible dual and a positive definite primal; inverse = S^-1; `bound` are inequalities."""

    X: Floats
    slack: Floats
    dual: Floats
    B: Floats
    inverse: Floats
    bound: Bools

    @property
    def mu(self) -> float:
        """The mean complementarity (<X, S> + x . lambda) / (d + d_z + C), C counting inequalities."""
        return (_inner(self.X, self.B) + float(self.slack @ self.dual)) / (len(self.X) + int(self.bound.sum()))

    def over_dual(self, x: Floats | float) -> Floats:
        """(C,) x / lambda; 0 for equalities."""
        return np.asarray(np.where(self.bound, x, 0.0) / np.where(self.bound, self.dual, 1.0))


def _start(A: Operator, guess: Point) -> _State:
    """equal lambda with |B| = 1/2, and X, x central and as large as the bounds known so far ask for."""
    dual = np.where(A.equal, 0.0, 1.0)  # not 1 / h: with rows of scales 1e10 apart that costs four times the steps
    B = A.adjoint(dual)
    top = max(float(np.linalg.norm(B, 2)), 1e-14 * float(dual.sum()))  # B = 0: hopeless at once
    dual, B = dual * (0.5 / top), B * (0.5 / top)
    inverse = _inverse(B)
    mu = max(float(A.h @ dual), guess.lower, guess.upper if guess.upper < 1e8 * guess.lower else 0.0)
    slack = np.where(A.equal, 0.0, mu / np.where(A.equal, 1.0, dual))
    return _State(mu * inverse, slack, dual, B, inverse, ~A.equal)


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


@dataclass(frozen=True, eq=False)
class _Direction:
    X: Floats
    slack: Floats
    dual: Floats
    B: Floats


def _advance(A: Operator, state: _State) -> _State:
    """One predictor-corrector step (Mehrotra)."""
    X, x, dual, T, mu = state.X, state.slack, state.dual, state.inverse, state.mu
    factor = _factor(_schur(A, X, T, state.over_dual(x)))
    predictor = _direction(A, state, factor, 0.0, np.zeros_like(X), np.zeros_like(x))
    cone = np.linalg.inv(np.linalg.cholesky(X)), np.asarray(np.linalg.cholesky(T), dtype=np.float64)
    primal, dual_length = _lengths(state, cone, predictor)
    ahead = _inner(X + primal * predictor.X, state.B + dual_length * predictor.B)
    ahead += float((x + primal * predictor.slack) @ (dual + dual_length * predictor.dual))
    ratio = min(max(ahead, 0.0) / (len(X) + int(state.bound.sum())) / mu, 1.0)
    # The corrector makes up for dX dS and dx dlambda, which the linearisation leaves out.
    second = _sym(predictor.X @ -_lift(predictor.B) @ T)
    step = _direction(A, state, factor, mu * ratio**3, second, state.over_dual(predictor.slack * predictor.dual))
    primal, dual_length = _lengths(state, cone, step)
    back = 0.9 + 0.09 * min(primal, dual_length, 1.0)
    primal, dual_length = min(1.0, back * primal), min(1.0, back * dual_length)
    dual = dual + dual_length * step.dual
    B = A.adjoint(dual)
    return _State(X + primal * step.X, x + primal * step.slack, dual, B, _inverse(B), state.bound)


def _direction(
    A: Operator,
    state: _State,
    factor: tuple[Floats, bool],
    target: float,
    second: Floats,
    second_slack: Floats,
) -> _Direction:
    """The HKM direction towards X S = target I and x lambda = target, less the second-order parts."""
    d, X, x, T = A.shape[0], state.X, state.slack, state.inverse
    centre = state.over_dual(target)
    rhs = A.h - A.margins(target * T[:d, d:] - second[:d, d:]) + centre - second_slack
    ddual = cho_solve(factor, rhs, check_finite=False)
    dB = A.adjoint(ddual)
    dX = target * T - X + _sym(X @ _lift(dB) @ T) - second
    dx = centre - x - state.over_dual(x * ddual) - second_slack
    return _Direction(dX, dx, ddual, dB)


def _schur(A: Operator, X: Floats, T: Floats, diagonal: Floats) -> Floats:
    """H_kl = <A_k, X A_l S^-1> + [k = l] x_k / lambda_k through products of vectors."""
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


def _lengths(state: _State, cone: tuple[Floats, Floats], step: _Direction) -> tuple[float, float]:
    """The longest primal and dual steps that stay in the cone; X^-1 = K' K, S^-1 = L L'."""
    K, L = cone
    primal = float(np.linalg.eigvalsh(K @ step.X @ K.T)[0])
    dual = float(np.linalg.eigvalsh(L.T @ -_lift(step.B) @ L)[0])
    some = state.bound
    primal = min(primal, float((step.slack[some] / state.slack[some]).min()), -1e-10)
    dual = min(dual, float((step.dual[some] / state.dual[some]).min()), -1e-10)
    return -1.0 / primal, -1.0 / dual


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

"""Primal-dual interior point for the operator norm as a semidefinite program (docs/svm-nuclear.md, section 4.2).

    min t          s.t.  P = [t I, W; W', t I] >= 0,  a_c' W z_c - x_c = h_c,  x >= 0
    max h'lambda   s.t.  Z = [Z11, -B/2; -B'/2, Z22] >= 0,  tr Z = 1,  B = A* lambda,  lambda >= 0

P is a function of the few unknowns (W, t), so Newton's equations are reduced to these, not to the constraints.
HKM direction, predictor and corrector.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.interior_point import Pair
from marginflow.svm.path_following import Inverse, cholesky
from marginflow.svm.presolve import Operator


def operator_interior(A: Operator) -> Iterator[Pair]:
    """Yield (W, lambda) of every step until none can be made, cost O(D^3 + C D^2) a step for D = d d_z."""
    rows = (A.a[:, :, None] * A.queries[A.sample][:, None, :]).reshape(len(A), -1)
    state = _start(A, rows)
    while True:
        yield state.W, state.dual
        state = _advance(A, rows, state)


@dataclass(frozen=True, eq=False)
class _State:
    """A positive definite P by (W, t) with its eigenvectors, and a positive definite Z; x, lambda > 0."""

    W: Floats
    t: float
    slack: Floats
    Z: Floats
    dual: Floats
    vectors: Floats
    values: Floats

    @property
    def mu(self) -> float:
        """The mean complementarity (<P, Z> + x . lambda) / (d + d_z + C)."""
        return (_inner(self.t, self.W, self.Z) + float(self.slack @ self.dual)) / (len(self.Z) + len(self.dual))


def _state(W: Floats, t: float, slack: Floats, Z: Floats, dual: Floats) -> _State:
    """P = Q diag(t +- s, t) Q' from W = U diag(s) V': eigenvectors (u, +-v)/sqrt 2, and those beyond p."""
    d, d_z = W.shape
    U, s, Vt = np.linalg.svd(W)
    p = len(s)
    if not t > s[0]:
        raise np.linalg.LinAlgError("P is not positive definite")
    Q = np.zeros((d + d_z, d + d_z))
    Q[:d, :p] = Q[:d, p : 2 * p] = np.sqrt(0.5) * U[:, :p]
    Q[d:, :p] = np.sqrt(0.5) * Vt[:p].T
    Q[d:, p : 2 * p] = -Q[d:, :p]
    Q[:d, 2 * p : 2 * p + d - p] = U[:, p:]
    Q[d:, p + d :] = Vt[p:].T
    values = np.concatenate((t + s, t - s, np.full(d + d_z - 2 * p, t)))
    return _State(W, t, slack, Z, dual, Q, values)


def _start(A: Operator, rows: Floats) -> _State:
    """W with margins near 2 h, P and x well inside their cones; equal lambda, |B| < 2 / (d + d_z), Z around it."""
    d, N = A.shape[0], sum(A.shape)
    weighted = rows / A.h[:, None]
    K = weighted.T @ weighted
    # A rough least-squares solution: the ridge keeps it short where the rows nearly contradict each other.
    K[np.diag_indices(len(K))] += 0.01 * np.trace(K) / len(K)
    W = 2.0 * cholesky(K)(weighted.sum(axis=0)).reshape(A.shape)
    x = np.maximum(rows @ W.ravel() - A.h, 0.5 * A.h)
    dual = np.ones(len(A))  # not 1 / h: with rows of scales 1e10 apart that costs four times the steps
    top = max(float(np.linalg.norm(A.adjoint(dual), 2)), 1e-14 * float(dual.sum()))  # B = 0: hopeless at once
    dual = dual * (1.7 / (N * top))
    Z = np.eye(N) / N
    Z[:d, d:] = -0.5 * A.adjoint(dual)
    Z[d:, :d] = Z[:d, d:].T
    return _state(W, 1.5 * float(np.linalg.norm(W, 2)), x, Z, dual)


@dataclass(frozen=True, eq=False)
class _Direction:
    W: Floats
    t: float
    slack: Floats
    Z: Floats
    dual: Floats


def _advance(A: Operator, rows: Floats, state: _State) -> _State:
    """One predictor-corrector step (Mehrotra)."""
    W, t, Z, x, dual, mu = state.W, state.t, state.Z, state.slack, state.dual, state.mu
    T = (state.vectors / state.values) @ state.vectors.T
    factor = _factor(rows, len(W), Z, T, dual / x)
    predictor = _direction(A, rows, state, T, factor, 0.0, np.zeros_like(Z), np.zeros_like(x))
    cone = state.vectors / np.sqrt(state.values), np.linalg.inv(np.linalg.cholesky(Z))
    primal, dual_length = _lengths(state, cone, predictor)
    ahead = _inner(t + primal * predictor.t, W + primal * predictor.W, Z + dual_length * predictor.Z)
    ahead += float((x + primal * predictor.slack) @ (dual + dual_length * predictor.dual))
    ratio = min(max(ahead, 0.0) / (len(Z) + len(x)) / mu, 1.0)
    # The corrector makes up for dZ dP and dx dlambda, which the linearisation leaves out.
    second = _sym(predictor.Z @ _lift(predictor.t, predictor.W) @ T)
    step = _direction(A, rows, state, T, factor, mu * ratio**3, second, predictor.slack * predictor.dual / x)
    primal, dual_length = _lengths(state, cone, step)
    back = 0.9 + 0.09 * min(primal, dual_length, 1.0)
    primal, dual_length = min(1.0, back * primal), min(1.0, back * dual_length)
    return _state(
        W + primal * step.W,
        t + primal * step.t,
        x + primal * step.slack,
        Z + dual_length * step.Z,
        dual + dual_length * step.dual,
    )


def _direction(
    A: Operator,
    rows: Floats,
    state: _State,
    T: Floats,
    factor: Inverse,
    target: float,
    second: Floats,
    second_slack: Floats,
) -> _Direction:
    """The HKM direction towards P Z = target I and x lambda = target, less the second-order parts."""
    d, x, dual, Z = A.shape[0], state.slack, state.dual, state.Z
    behind = rows @ state.W.ravel() - A.h - x
    aim = target * T - second
    right = 2.0 * aim[:d, d:].ravel() + (target / x - dual / x * behind - second_slack) @ rows
    step = factor(np.append(right, float(np.trace(aim)) - 1.0))
    dW, dt = step[:-1].reshape(A.shape), float(step[-1])
    dx = rows @ step[:-1] + behind
    dZ = aim - Z - _sym(Z @ _lift(dt, dW) @ T)
    return _Direction(dW, dt, dx, dZ, target / x - dual - dual / x * dx - second_slack)


def _factor(rows: Floats, d: int, Z: Floats, T: Floats, weights: Floats) -> Inverse:
    """Solve with the equations in (W, t): <L_k, Z L_l T> + sum_c w_c A_ck A_cl, L = dP per unknown, T = P^-1.

    For a change D of W: Z11 D T22 + T11 D Z22 + Z12 D' T12 + T12 D' Z12.
    """
    D = rows.shape[1]
    Z12, T12 = Z[:d, d:], T[:d, d:]
    K = np.empty((D + 1, D + 1))
    G = Z[:d, None, :d, None] * T[None, d:, None, d:]
    G += T[:d, None, :d, None] * Z[None, d:, None, d:]
    G += Z12[:, None, None, :] * T12.T[None, :, :, None]
    G += T12[:, None, None, :] * Z12.T[None, :, :, None]
    half = rows * np.sqrt(weights)[:, None]
    K[:D, :D] = G.reshape(D, D)
    K[:D, :D] += half.T @ half
    ZT = Z @ T
    K[D, :D] = K[:D, D] = (ZT[:d, d:] + ZT[d:, :d].T).ravel()
    K[D, D] = np.trace(ZT)
    return cholesky(K)


def _lengths(state: _State, cone: tuple[Floats, Floats], step: _Direction) -> tuple[float, float]:
    """The longest steps of (W, t, x) and (Z, lambda) that stay in the cone; P^-1 = H H', Z^-1 = K' K."""
    H, K = cone
    primal = float(np.linalg.eigvalsh(H.T @ _lift(step.t, step.W) @ H)[0])
    dual = float(np.linalg.eigvalsh(K @ step.Z @ K.T)[0])
    primal = min(primal, float((step.slack / state.slack).min()), -1e-10)
    dual = min(dual, float((step.dual / state.dual).min()), -1e-10)
    return -1.0 / primal, -1.0 / dual


def _lift(t: float, W: Floats) -> Floats:
    """[t I, W; W', t I]."""
    d, d_z = W.shape
    out = np.zeros((d + d_z, d + d_z))
    out[np.diag_indices(d + d_z)] = t
    out[:d, d:] = W
    out[d:, :d] = W.T
    return out


def _inner(t: float, W: Floats, Z: Floats) -> float:
    """<P, Z>."""
    d = len(W)
    return t * float(np.trace(Z)) + 2.0 * float(np.vdot(Z[:d, d:], W))


def _sym(M: Floats) -> Floats:
    return 0.5 * (M + M.T)

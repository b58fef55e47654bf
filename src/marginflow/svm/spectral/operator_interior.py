"""Primal-dual interior point for the operator norm as a semidefinite program (docs/svm-nuclear.md, section 4.2).

    min t          s.t.  P = [t I, W; W', t I] >= 0,  a_c' W z_c - x_c = h_c,  x >= 0
    max h'lambda   s.t.  Z = [Z11, -B/2; -B'/2, Z22] >= 0,  tr Z = 1,  B = A* lambda,  lambda >= 0

P is a function of the few unknowns (W, t), so Newton's equations are reduced to these, not to the constraints.
HKM direction, predictor and corrector. All arrays carry K problems of one shape, K = 1 for a single one: on small
matrices calling costs more than computing.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from marginflow.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Interior:
    """K points: positive definite P by (W, t) with its eigenvectors, positive definite Z; x, lambda > 0.

    Attributes:
        rows: (K, C, d d_z) the constraints a_c z_c'.
        h: (K, C) right-hand sides.
        unit: (K, C) positive, the same where these are.
        W: (K, d, d_z).
        t: (K,) above the largest singular value of W.
        slack: (K, C) x.
        Z: (K, N, N), N = d + d_z.
        dual: (K, C) lambda.
        vectors: (K, N, N) eigenvectors of P.
        values: (K, N) its eigenvalues, the first t + |W|.
        inside: (K, D + 1, m) orthonormal columns, the changes of (W, t) that equalities allow; None for all.
    """

    rows: Floats
    h: Floats
    unit: Floats
    W: Floats
    t: Floats
    slack: Floats
    Z: Floats
    dual: Floats
    vectors: Floats
    values: Floats
    inside: Floats | None = None

    def restrict(self, keep: Bools) -> Self:
        """The problems `keep` (K,)."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: array[keep] for name, array in own.items() if array is not None})

    def bounds(self) -> tuple[Floats, Floats]:
        """(K,) upper and (K,) lower bounds of the values, as `first_order.upper_bound` and `lower_bound`."""
        margins = _mv(self.rows, self.W.reshape(len(self.W), -1))
        least = (margins / self.h).min(axis=1)
        with np.errstate(divide="ignore"):
            upper = np.where(least > 0.0, (self.values[:, 0] - self.t) / least, np.inf)
        B = _mv(_t(self.rows), self.dual).reshape(self.W.shape)
        size = np.linalg.svd(B, compute_uv=False).sum(axis=1)
        lower: Floats = np.vecdot(self.dual, self.h) / (size + 4e-16 * self.dual.sum(axis=1))
        return upper, lower

    def advance(self) -> Self:
        """One predictor-corrector step (Mehrotra). Raises LinAlgError where one of the cones is left."""
        T = (self.vectors / self.values[:, None, :]) @ _t(self.vectors)
        equations = self._newton_matrix(T)
        H = self.vectors / np.sqrt(self.values)[:, None, :]
        cone = H, np.linalg.inv(np.linalg.cholesky(self.Z))
        mu, count = self._complementarity(None, None, None), self.Z.shape[1] + self.h.shape[1]
        zero = np.zeros_like(self.t)
        predictor = self._direction(T, equations, zero, np.zeros_like(self.Z), np.zeros_like(self.h))
        primal, dual = self._lengths(cone, predictor)
        ratio = np.clip(self._complementarity(predictor, primal, dual) / mu, 0.0, 1.0)
        # The corrector makes up for dZ dP and dx dlambda, which the linearisation leaves out.
        second = _sym(predictor.Z @ _lift(predictor.t, predictor.W) @ T)
        step = self._direction(
            T, equations, mu / count * ratio**3, second, predictor.slack * predictor.dual / self.slack
        )
        primal, dual = self._lengths(cone, step)
        back = 0.9 + 0.09 * np.minimum(np.minimum(primal, dual), 1.0)
        primal, dual = np.minimum(1.0, back * primal), np.minimum(1.0, back * dual)
        return self._at(
            self.W + primal[:, None, None] * step.W,
            self.t + primal * step.t,
            self.slack + primal[:, None] * step.slack,
            self.Z + dual[:, None, None] * step.Z,
            self.dual + dual[:, None] * step.dual,
        )

    def _at(self, W: Floats, t: Floats, slack: Floats, Z: Floats, dual: Floats) -> Self:
        return type(self)(self.rows, self.h, self.unit, W, t, slack, Z, dual, *_spectrum(W, t), self.inside)

    def _complementarity(self, step: "_Direction | None", primal: Floats | None, dual: Floats | None) -> Floats:
        """(K,) <P, Z> + x . lambda, here or at the end of a step."""
        W, t, x, Z, lam, d = self.W, self.t, self.slack, self.Z, self.dual, self.W.shape[1]
        if step is not None and primal is not None and dual is not None:
            W, t, x = W + primal[:, None, None] * step.W, t + primal * step.t, x + primal[:, None] * step.slack
            Z, lam = Z + dual[:, None, None] * step.Z, lam + dual[:, None] * step.dual
        out: Floats = t * np.trace(Z, axis1=1, axis2=2) + 2.0 * (Z[:, :d, d:] * W).sum(axis=(1, 2))
        return out + np.vecdot(x, lam)

    def _newton_matrix(self, T: Floats) -> "_Equations":
        """The equations in (W, t): <L_k, Z L_l T> + sum_c w_c A_ck A_cl, L = dP per unknown.

        For a change D of W: Z11 D T22 + T11 D Z22 + Z12 D' T12 + T12 D' Z12, with w = lambda / x.
        """
        (K, _, D), d, Z = self.rows.shape, self.W.shape[1], self.Z
        Z12, T12 = Z[:, :d, d:], T[:, :d, d:]
        G = Z[:, :d, None, :d, None] * T[:, None, d:, None, d:]
        G += T[:, :d, None, :d, None] * Z[:, None, d:, None, d:]
        crossed = (Z12.reshape(K, D, 1) * T12.reshape(K, 1, D)).reshape(K, d, -1, d, D // d).transpose(0, 1, 4, 3, 2)
        G += crossed
        G += crossed.transpose(0, 3, 4, 1, 2)
        weighted = self.rows * np.sqrt(self.dual / self.slack)[:, :, None]
        M = np.empty((K, D + 1, D + 1))
        M[:, :D, :D] = G.reshape(K, D, D)
        M[:, :D, :D] += _t(weighted) @ weighted
        ZT = Z @ T
        M[:, D, :D] = M[:, :D, D] = (ZT[:, :d, d:] + _t(ZT[:, d:, :d])).reshape(K, D)
        M[:, D, D] = np.trace(ZT, axis1=1, axis2=2)
        return _equations(M, self.inside)

    def _direction(
        self, T: Floats, equations: "_Equations", target: Floats, second: Floats, second_slack: Floats
    ) -> "_Direction":
        """The HKM direction towards P Z = target I and x lambda = target, less the second-order parts."""
        K, d, x, dual, Z = len(T), self.W.shape[1], self.slack, self.dual, self.Z
        behind = _mv(self.rows, self.W.reshape(K, -1)) - self.h - x
        aim = target[:, None, None] * T - second
        pull = target[:, None] / x - second_slack
        right = np.empty((K, self.rows.shape[2] + 1))
        right[:, :-1] = 2.0 * aim[:, :d, d:].reshape(K, -1) + _mv(_t(self.rows), pull - dual / x * behind)
        right[:, -1] = np.trace(aim, axis1=1, axis2=2) - 1.0
        step = equations.solve(right)
        dW, dt = step[:, :-1].reshape(self.W.shape), step[:, -1]
        dx = _mv(self.rows, step[:, :-1]) + behind
        dZ = aim - Z - _sym(Z @ _lift(dt, dW) @ T)
        return _Direction(dW, dt, dx, dZ, pull - dual - dual / x * dx)

    def _lengths(self, cone: tuple[Floats, Floats], step: "_Direction") -> tuple[Floats, Floats]:
        """(K,) the longest steps of (W, t, x) and of (Z, lambda); P^-1 = H H', Z^-1 = L' L."""
        H, L = cone
        primal = np.linalg.eigvalsh(_t(H) @ _lift(step.t, step.W) @ H)[:, 0]
        dual = np.linalg.eigvalsh(L @ step.Z @ _t(L))[:, 0]
        primal = np.minimum(np.minimum(primal, (step.slack / self.slack).min(axis=1)), -1e-10)
        dual = np.minimum(np.minimum(dual, (step.dual / self.dual).min(axis=1)), -1e-10)
        return -1.0 / primal, -1.0 / dual


@dataclass(frozen=True, eq=False)
class _Direction:
    W: Floats
    t: Floats
    slack: Floats
    Z: Floats
    dual: Floats


def operator_interior(
    rows: Floats, h: Floats, unit: Floats, shape: tuple[int, int], inside: Floats | None = None
) -> Interior:
    """The start for `rows` (K, C, d d_z), `h` (K, C): W with margins near 2 h, P and x well inside their cones;
    equal lambda, |B| < 2 / (d + d_z), and Z around it. A step costs O(D^3 + C D^2) for D = d d_z.
    """
    (K, C, D), d, N = rows.shape, shape[0], sum(shape)
    weighted = rows / unit[:, :, None]
    M = _t(weighted) @ weighted
    # A rough least-squares solution: the ridge keeps it short where the rows nearly contradict each other.
    M[:, np.arange(D), np.arange(D)] += 0.01 * np.trace(M, axis1=1, axis2=2)[:, None] / D
    own = None if inside is None else inside[:, :D, :-1]
    W = 2.0 * _equations(M, own).solve(weighted.sum(axis=1)).reshape(K, *shape)
    x = np.maximum(_mv(rows, W.reshape(K, D)) - h, 0.5 * unit)
    B = rows.sum(axis=1).reshape(K, *shape)
    top = np.maximum(np.linalg.norm(B, 2, axis=(1, 2)), 1e-14 * C)  # B = 0: hopeless at once
    # Equal lambda, not 1/h: with rows of scales 1e10 apart that costs four times the steps.
    size = 1.7 / (N * top)
    Z = np.tile(np.eye(N) / N, (K, 1, 1))
    Z[:, :d, d:] = -0.5 * size[:, None, None] * B
    Z[:, d:, :d] = _t(Z[:, :d, d:])
    t = 1.5 * np.linalg.norm(W, 2, axis=(1, 2))
    return Interior(rows, h, unit, W, t, x, Z, np.tile(size[:, None], (1, C)), *_spectrum(W, t), inside)


def _spectrum(W: Floats, t: Floats) -> tuple[Floats, Floats]:
    """P = Q diag(t +- s, t) Q' from W = U diag(s) V': eigenvectors (u, +-v)/sqrt 2, and those beyond p."""
    K, d, d_z = W.shape
    U, s, Vt = np.linalg.svd(W)
    p = s.shape[1]
    if not (t > s[:, 0]).all():
        raise np.linalg.LinAlgError("P is not positive definite")
    Q = np.zeros((K, d + d_z, d + d_z))
    Q[:, :d, :p] = Q[:, :d, p : 2 * p] = np.sqrt(0.5) * U[:, :, :p]
    Q[:, d:, :p] = np.sqrt(0.5) * _t(Vt[:, :p])
    Q[:, d:, p : 2 * p] = -Q[:, d:, :p]
    Q[:, :d, 2 * p : p + d] = U[:, :, p:]
    Q[:, d:, p + d :] = _t(Vt[:, p:])
    rest = np.zeros((K, d + d_z - 2 * p))
    return Q, t[:, None] + np.concatenate((s, -s, rest), axis=1)


@dataclass(frozen=True, eq=False)
class _Equations:
    """K positive definite matrices scaled to unit diagonal, in the coordinates `inside`, of all where None."""

    matrix: Floats
    scale: Floats
    inside: Floats | None

    def solve(self, right: Floats) -> Floats:
        """(K, m) solutions."""
        right = right if self.inside is None else _mv(_t(self.inside), right)
        out: Floats = self.scale * np.linalg.solve(self.matrix, (self.scale * right)[:, :, None])[:, :, 0]
        return out if self.inside is None else _mv(self.inside, out)


def _equations(M: Floats, inside: Floats | None) -> _Equations:
    M = M if inside is None else _t(inside) @ M @ inside
    index = np.arange(M.shape[1])
    scale = 1.0 / np.sqrt(M[:, index, index])
    if not np.isfinite(scale).all():
        raise np.linalg.LinAlgError("the diagonal is not positive")
    M *= scale[:, :, None]
    M *= scale[:, None, :]
    return _Equations(M, scale, inside)


def _lift(t: Floats, W: Floats) -> Floats:
    """(K, N, N) [t I, W; W', t I]."""
    K, d, d_z = W.shape
    out = np.zeros((K, d + d_z, d + d_z))
    index = np.arange(d + d_z)
    out[:, index, index] = t[:, None]
    out[:, :d, d:] = W
    out[:, d:, :d] = _t(W)
    return out


def _t(M: Floats) -> Floats:
    return M.transpose(0, 2, 1)


def _mv(M: Floats, x: Floats) -> Floats:
    """(K, m) products of K matrices and K vectors."""
    out: Floats = (M @ x[:, :, None])[:, :, 0]
    return out


def _sym(M: Floats) -> Floats:
    return 0.5 * (M + _t(M))

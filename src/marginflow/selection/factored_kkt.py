"""KKT points of the attention SVM in factors of limited width, and whether a flow can stay there.

With K (d, m), Q (d_z, m) narrower than the rank of the nuclear SVM solution the flow of K Q' goes to KKT points of

    min (|K|^2 + |Q|^2) / 2   s.t.   (x_alpha - x_l)' K Q' z_i >= 1   for every worse token l,

K = B Q, Q = B'K with B = sum lambda_c A_c, of which there can be several. Such a point is an end (theorem of
docs/attractors.md, section 2) if it is a strict local minimum up to rotations of the columns and every better
token's margin exceeds 1 there. Nothing here is certified in exact arithmetic: the residuals say how near it is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solve import solve


@dataclass(frozen=True, eq=False)
class KktPoint:
    """A KKT point against the worse tokens of a selection, scaled to a least margin of 1.

    Attributes:
        selected: (n,) the tokens.
        K, Q: (d, m), (d_z, m) balanced factors.
        dual: (C,) multipliers >= 0 of the constraints against worse tokens.
        epsilon: |theta - sum lambda_c grad m_c(theta)| (theory 3.5), theta = (K, Q).
        delta: max lambda_c (m_c - 1).
        curvature: least eigenvalue of the Lagrangian's Hessian along the active constraints, rotations of the
            columns left out: positive at a strict local minimum, negative at a saddle.
        stability: the least margin of a better token; inf when no token is better.
        spectral: |B|_op: 1 at the nuclear SVM solution, above 1 at any other KKT point.
    """

    selected: Ints
    K: Floats
    Q: Floats
    dual: Floats
    epsilon: float
    delta: float
    curvature: float
    stability: float
    spectral: float

    @property
    def value(self) -> float:
        """(|K|^2 + |Q|^2) / 2, the nuclear norm of K Q'."""
        return float((self.K**2).sum() + (self.Q**2).sum()) / 2.0

    @property
    def found(self) -> bool:
        """Whether the residuals are those of a KKT point."""
        return self.epsilon <= _RESIDUAL * np.sqrt(2.0 * self.value) and self.delta <= _RESIDUAL * self.value

    @property
    def stable(self) -> bool:
        """An open set of starts ends here: a strict local minimum with every better token behind."""
        return self.found and self.curvature > _FLAT and self.stability > 1.0 + _FLAT

    @property
    def left(self) -> bool:
        """Runs near it turn away: some better token's margin is below 1.

        At a saddle nothing is said: a run may stay close to one for as long as it can be followed, or go to
        another point with the same tokens.
        """
        return self.found and self.curvature > _FLAT and self.stability < 1.0 - _FLAT


def kkt_point(problem: Problem, selected: Ints, K: Floats, Q: Floats) -> KktPoint | None:
    """The KKT point that a run at `K`, `Q` with `selected` (n,) on top is on its way to.

    Args:
        problem, selected: whose worse tokens constrain.
        K, Q: (d, m), (d_z, m) of any size with positive margins against the worse tokens.

    Returns:
        The point, or None where `K` and `Q` do not separate the worse tokens.
    """
    worse = problem.constraints(selected, against="worse")
    if len(worse) == 0:
        return None
    K, Q = _balanced(K @ Q.T, K.shape[1])
    least = float(worse.margins(K @ Q.T).min())
    if least <= 0.0:
        return None
    point = _Point(worse, K / np.sqrt(least), Q / np.sqrt(least))
    judged = None
    for _ in range(_ROUNDS):
        best = point.newton()
        if best is not None:
            judged = _judged(problem, selected, best)
            if judged.curvature > -_FLAT:
                return judged
        # Newton's method also goes to saddles; the damped steps are driven away from them, as the flow is.
        for _ in range(_DAMPED):
            after = point.improved()
            if after is None:
                break
            point = after
    return judged or _judged(problem, selected, point)


def kkt_points(problem: Problem, selected: Ints, width: int, *, starts: int = 3, seed: int = 0) -> list[KktPoint]:
    """Different KKT points against the worse tokens of `selected` (n,), from the SVM and from random queries.

    Local search: it can miss points, and finds none where no start comes to separate the worse tokens.
    """
    worse = problem.constraints(selected, against="worse")
    if len(worse) == 0:
        return []
    draw = np.random.default_rng(seed)
    right = np.linalg.svd(solve(worse, "frobenius", 1e-6).W)[2][:width].T
    out: list[KktPoint] = []
    for start in range(starts):
        Q = right if start == 0 else draw.standard_normal((problem.d_z, width))
        factors = _alternated(worse, Q)
        point = None if factors is None else kkt_point(problem, selected, *factors)
        if point is not None and all(_apart(point, other) for other in out):
            out.append(point)
    return out


@dataclass(frozen=True, eq=False)
class _Point:
    constraints: Constraints
    K: Floats
    Q: Floats
    dual: Floats | None = None

    @property
    def theta(self) -> Floats:
        return np.concatenate([self.K.ravel(), self.Q.ravel()])

    def margins(self) -> Floats:
        return self.constraints.margins(self.K @ self.Q.T)

    def gradients(self) -> Floats:
        """(C, p) grad m_c = (a_c (z_c'Q), z_c (a_c'K))."""
        a, z = self.constraints.a, self.constraints.queries
        left = a[:, :, None] * (z @ self.Q)[:, None, :]
        right = z[:, :, None] * (a @ self.K)[:, None, :]
        return np.concatenate([left.reshape(len(a), -1), right.reshape(len(a), -1)], axis=1)

    def at(self, theta: Floats, dual: Floats | None) -> "_Point":
        d, m = self.K.shape
        return _Point(self.constraints, theta[: d * m].reshape(d, m), theta[d * m :].reshape(-1, m), dual)

    def improved(self) -> "_Point | None":
        """Half a step to the shortest theta with linearised margins of 1.

        On the active constraints the whole step multiplies a deviation by the curvature of the constraints,
        with eigenvalues up to |B|_op in size: half of it is a contraction at local minima, and none at saddles.
        """
        margins = self.margins()
        rows = self.gradients() / (1.0 + margins)[:, None]
        flat = Constraints(rows, np.zeros(len(rows), dtype=np.intp), np.ones((1, 1)))
        solution = solve(flat, "frobenius", 1e-9)
        if solution.status is SvmStatus.infeasible:
            return None
        theta = (self.theta + solution.W[:, 0]) / 2.0
        # The shortest w is sum of multipliers times rows; `dual` is scaled to a dual norm of 1.
        dual = solution.dual * solution.value / (1.0 + margins)
        after = self.at(theta, dual)
        least = float(after.margins().min())
        if least <= 0.0:
            return None
        return self.at(theta / np.sqrt(least), dual)

    def newton(self) -> "_Point | None":
        """The KKT point by Newton's method on the active constraints; None where it does not lead to one."""
        if self.dual is None:
            # The multipliers that explain theta best.
            from scipy.optimize import nnls

            dual = np.asarray(nnls(self.gradients().T, self.theta)[0])
            dual[self.margins() > _LOOSE] = 0.0
            return _Point(self.constraints, self.K, self.Q, dual).newton() if dual.any() else None
        active = np.flatnonzero(self.dual > _ACTIVE * self.dual.max(initial=0.0))
        point, dual = self, self.dual[active]
        for _ in range(_NEWTON):
            A = point.gradients()[active]
            residual = np.concatenate([point.theta - dual @ A, 1.0 - point.margins()[active]])
            if np.linalg.norm(residual) <= 1e-13 * np.linalg.norm(point.theta):
                break
            p = len(point.theta)
            system = np.zeros((p + len(active), p + len(active)))
            system[:p, :p] = point.hessian(active, dual)
            system[:p, p:] = -A.T
            system[p:, :p] = -A
            move = np.linalg.lstsq(system, -residual, rcond=1e-11)[0]
            theta = point.theta + move[:p]
            if not np.linalg.norm(move[:p]) <= 0.5 * np.linalg.norm(theta):
                return None
            dual = dual + move[p:]
            point = point.at(theta, None)
        full = np.zeros(len(self.dual))
        full[active] = np.maximum(dual, 0.0)
        if dual.min(initial=0.0) < -1e-9 * dual.max(initial=1.0) or point.margins().min() < 1.0 - 1e-9:
            return None
        size = float(np.linalg.norm(point.theta))
        near = np.linalg.norm(point.theta - full @ point.gradients()) <= _RESIDUAL * size
        return _Point(self.constraints, point.K, point.Q, full) if near else None

    def hessian(self, active: Ints, dual: Floats) -> Floats:
        """(p, p) of the Lagrangian: the identity less [0 B; B' 0] on every column."""
        d, m = self.K.shape
        B = (self.constraints.a[active] * dual[:, None]).T @ self.constraints.queries[active]
        H = np.eye(len(self.theta))
        block = np.kron(B, np.eye(m))
        H[: d * m, d * m :] -= block
        H[d * m :, : d * m] -= block.T
        return H

    def rotations(self) -> Floats:
        """(p, m (m - 1) / 2) the directions (K O, Q O), O skew: they change nothing."""
        m = self.K.shape[1]
        out = []
        for i in range(m):
            for j in range(i):
                skew = np.zeros((m, m))
                skew[i, j], skew[j, i] = 1.0, -1.0
                out.append(np.concatenate([(self.K @ skew).ravel(), (self.Q @ skew).ravel()]))
        return np.array(out).reshape(-1, len(self.theta)).T


def _judged(problem: Problem, selected: Ints, point: _Point) -> KktPoint:
    gradients, margins = point.gradients(), point.margins()
    dual = np.zeros(len(margins)) if point.dual is None else point.dual
    active = np.flatnonzero(dual > _ACTIVE * dual.max(initial=0.0))
    fixed = np.concatenate([gradients[active].T, point.rotations()], axis=1)
    U, s, _ = np.linalg.svd(fixed, full_matrices=True)
    rank = int((s > 1e-9 * s.max(initial=0.0)).sum())
    free = U[:, rank:]
    H = point.hessian(active, dual[active])
    curvature = float(np.linalg.eigvalsh(free.T @ H @ free)[0]) if free.shape[1] else np.inf
    better = problem.constraints(selected, against="better")
    W = point.K @ point.Q.T
    B = point.constraints.adjoint(dual)
    return KktPoint(
        selected=selected,
        K=point.K,
        Q=point.Q,
        dual=dual,
        epsilon=float(np.linalg.norm(point.theta - dual @ gradients)),
        delta=float((dual * (margins - 1.0)).max(initial=0.0)),
        curvature=curvature,
        stability=float(better.margins(W).min()) / float(margins.min()) if len(better) else np.inf,
        spectral=float(np.linalg.norm(B, 2)),
    )


def _alternated(worse: Constraints, Q: Floats) -> tuple[Floats, Floats] | None:
    """Least K for Q, then least Q for K, a few times: separating factors from any queries that allow them."""
    K = np.zeros((worse.shape[0], Q.shape[1]))
    for turn in range(_TURNS):
        seen = worse.z @ Q
        if not np.abs(seen).max(axis=1).all():
            return None
        solution = solve(Constraints(worse.a, worse.sample, seen, worse.token), "frobenius", 1e-6)
        if solution.status is not SvmStatus.optimal:
            return None
        K = solution.W
        if turn + 1 == _TURNS:
            break
        # a'K Q'z with Q free: the query z is the "token" and K'a the "query" of a problem with one row each.
        rows = np.arange(len(worse), dtype=np.intp)
        flipped = Constraints(worse.queries, rows, worse.a @ K, worse.token)
        solution = solve(flipped, "frobenius", 1e-6)
        if solution.status is not SvmStatus.optimal:
            return None
        Q = solution.W
    return K, Q


def _balanced(W: Floats, width: int) -> tuple[Floats, Floats]:
    """U S^1/2, V S^1/2 of the leading singular triples of W."""
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    root = np.sqrt(s[:width])
    K, Q = U[:, :width] * root, Vt[:width].T * root
    short = width - K.shape[1]
    return np.pad(K, ((0, 0), (0, max(short, 0)))), np.pad(Q, ((0, 0), (0, max(short, 0))))


def _apart(point: KktPoint, other: KktPoint) -> bool:
    W = point.K @ point.Q.T
    return float(np.linalg.norm(W - other.K @ other.Q.T)) > 1e-5 * float(np.linalg.norm(W))


_RESIDUAL: Final = 1e-8
"""epsilon and delta of a KKT point, relative to |theta| and to its square."""

_FLAT: Final = 1e-6
"""A curvature or a lead of a better token nearer to its limit than this decides nothing."""

_ACTIVE: Final = 1e-7
"""Multipliers above this share of the largest are positive."""

_LOOSE: Final = 1.5
"""Margins above this do not pull on a run that is near its KKT point."""

_ROUNDS: Final = 6
_DAMPED: Final = 15
_NEWTON: Final = 12
_TURNS: Final = 4
"""Rounds of damped steps and Newton; damped steps, Newton steps, and alternations in one."""

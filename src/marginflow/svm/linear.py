"""l1 and linf: linear programs, by interior points and then the vertex itself (theory 3.4, docs/svm.md)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.linalg import lstsq
from scipy.optimize import linprog

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.path_following import (
    AbstractProgram,
    Inverse,
    Iterate,
    cholesky,
    diagonal_plus_gram,
    follow,
)
from marginflow.svm.rows import Rows, unit_rows, zero_row


Progress = Callable[[int, float], None]


def solve_l1(constraints: Constraints, tol: float, *, progress: Progress | None = None) -> Candidate:
    """Minimise |beta|_1 for W = diag(beta)."""
    return _solve(constraints, tol, progress, _start_l1)


def solve_linf(constraints: Constraints, tol: float, *, progress: Progress | None = None) -> Candidate:
    """Minimise max |beta_j| for W = diag(beta)."""
    return _solve(constraints, tol, progress, _start_linf)


@dataclass(frozen=True, eq=False)
class _L1(AbstractProgram):
    """x = (p, n, s): min sum(p + n) with R (p - n) - s = h; its multipliers y are the SVM's."""

    R: Floats
    b: Floats

    def product(self, x: Floats) -> Floats:
        p, n, s = self._split(x)
        return np.asarray(self.R @ (p - n) - s)

    def adjoint(self, y: Floats) -> Floats:
        pulled = y @ self.R
        return np.concatenate((pulled, -pulled, -y))

    def normal(self, D: Floats) -> Inverse:
        p, n, s = self._split(D)
        return diagonal_plus_gram(self.R, s, p + n)

    def gradient(self, x: Floats) -> Floats:
        out = np.ones(len(x))
        out[2 * self.R.shape[1] :] = 0.0
        return out

    def curvature(self, x: Floats) -> Floats:
        return np.zeros(len(x))

    def pair(self, point: Iterate) -> tuple[Floats, Floats]:
        """The weights and the multipliers of the SVM at an iterate."""
        p, n, _ = self._split(point.x)
        return p - n, point.y

    def value(self, beta: Floats) -> float:
        return float(np.abs(beta).sum())

    def dual_value(self, pulled: Floats) -> float:
        return float(np.abs(pulled).max())

    def square(self, point: Iterate) -> bool:
        """Whether the iterate shows as many active rows as unknowns: the mark of a single vertex."""
        d = self.R.shape[1]
        p, n, s = self._split(point.x)
        nonzero = (p > point.z[:d]) | (n > point.z[d : 2 * d])
        return int(nonzero.sum()) == int((point.y > s).sum())

    def vertex(self, point: Iterate) -> tuple[Floats, Floats]:
        """Active rows and non-zero weights as the iterate has them, then their equations solved."""
        d = self.R.shape[1]
        p, n, s = self._split(point.x)
        nonzero = (p > point.z[:d]) | (n > point.z[d : 2 * d])
        active = point.y > s
        beta, y = np.where(nonzero, p - n, 0.0), np.where(active, point.y, 0.0)
        E = self.R[np.ix_(active, nonzero)]
        beta[nonzero] += _least_squares(E, self.b[active] - E @ beta[nonzero])
        y[active] += _least_squares(E.T, np.sign((p - n)[nonzero]) - E.T @ y[active])
        return beta, y

    def simplex(self) -> tuple[Floats, Floats]:
        """The same program by HiGHS: slower, with a vertex where interior points stall."""
        d = self.R.shape[1]
        return _highs(np.ones(2 * d), np.hstack((self.R, -self.R)), self.b, lambda x: x[:d] - x[d:])

    def _split(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        d = self.R.shape[1]
        return x[:d], x[d : 2 * d], x[2 * d :]


@dataclass(frozen=True, eq=False)
class _Linf(AbstractProgram):
    """The dual as the program: x = (lam, p, n, e), max h'lam with R'lam = p - n, sum(p + n) + e = 1.

    The multipliers of its equations are (-beta, -t), t = max |beta_j|.
    """

    R: Floats
    h: Floats
    b: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "b", np.append(np.zeros(self.R.shape[1]), 1.0))

    def product(self, x: Floats) -> Floats:
        lam, p, n, e = self._split(x)
        return np.append(lam @ self.R - p + n, p.sum() + n.sum() + e.sum())

    def adjoint(self, y: Floats) -> Floats:
        v, t = y[:-1], y[-1]
        return np.concatenate((self.R @ v, t - v, t + v, [t]))

    def normal(self, D: Floats) -> Inverse:
        """Factor [[E + R'LR, n - p], [., sum E + e]] with E = diag(p + n), L = diag(lam).

        Always written out: Woodbury's formula on the other side of R loses every digit before the vertex is
        reached, because E vanishes on more weights than there are active rows.
        """
        lam, p, n, e = self._split(D)
        d = self.R.shape[1]
        half = self.R * np.sqrt(lam)[:, None]
        K = np.empty((d + 1, d + 1))
        K[:d, :d] = half.T @ half
        K[np.diag_indices(d)] += p + n
        K[d, :d] = K[:d, d] = n - p
        K[d, d] = p.sum() + n.sum() + e.sum()
        return cholesky(K)

    def gradient(self, x: Floats) -> Floats:
        out = np.zeros(len(x))
        out[: len(self.h)] = -self.h
        return out

    def curvature(self, x: Floats) -> Floats:
        return np.zeros(len(x))

    def pair(self, point: Iterate) -> tuple[Floats, Floats]:
        """The weights and the multipliers of the SVM at an iterate."""
        return -point.y[:-1], point.x[: len(self.h)]

    def value(self, beta: Floats) -> float:
        return float(np.abs(beta).max())

    def dual_value(self, pulled: Floats) -> float:
        return float(np.abs(pulled).sum())

    def square(self, point: Iterate) -> bool:
        """Whether the iterate shows as many active rows as unknowns: the mark of a single vertex."""
        C, d = self.R.shape
        lam, p, n, _ = self._split(point.x)
        bound = (p > point.z[C : C + d]) | (n > point.z[C + d : C + 2 * d])
        return int((~bound).sum()) + 1 == int((lam > point.z[:C]).sum())

    def vertex(self, point: Iterate) -> tuple[Floats, Floats]:
        """Active rows and weights at the bound as the iterate has them, then their equations solved."""
        C, d = self.R.shape
        lam, p, n, _ = self._split(point.x)
        z = point.z
        active = lam > z[:C]
        above, below = p > z[C : C + d], n > z[C + d : C + 2 * d]
        bound, sign = above | below, np.where(above, 1.0, -1.0)
        beta, t = -point.y[:-1].copy(), -float(point.y[-1])
        # Unknowns: the weights inside the bound and the bound t itself.
        E = np.column_stack((self.R[np.ix_(active, ~bound)], self.R[np.ix_(active, bound)] @ sign[bound]))
        inside = np.append(beta[~bound], t)
        inside += _least_squares(E, self.h[active] - E @ inside)
        beta = np.where(bound, sign * inside[-1], 0.0)
        beta[~bound] = inside[:-1]
        y = np.where(active, lam, 0.0)
        target = np.append(np.zeros(len(inside) - 1), 1.0)
        y[active] += _least_squares(E.T, target - E.T @ y[active])
        return beta, y

    def simplex(self) -> tuple[Floats, Floats]:
        """The primal program by HiGHS, with p = t + beta and n = t - beta, p + n = 2 t for every weight."""
        C, d = self.R.shape
        G = np.hstack((self.R, np.zeros((C, 1))))
        box = np.vstack((np.hstack((-np.eye(d), np.ones((d, 1)))), np.hstack((np.eye(d), np.ones((d, 1))))))
        beta, y = _highs(
            np.append(np.zeros(d), 1.0),
            np.vstack((G, box)),
            np.append(self.h, np.zeros(2 * d)),
            lambda x: x[:d],
            least=-np.inf,
        )
        return beta, y[:C]

    def _split(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        C, d = self.R.shape
        return x[:C], x[C : C + d], x[C + d : C + 2 * d], x[C + 2 * d :]


_Program = _L1 | _Linf


def _start_l1(R: Floats, h: Floats) -> tuple[_Program, Floats, Floats, Floats]:
    """A strictly feasible dual point, so that every iterate's multipliers give a bound."""
    C, d = R.shape
    program = _L1(R, h)
    y = np.full(C, 0.5 / max(float(np.abs(R.sum(axis=0)).max()), 1.0))
    pulled = y @ R
    return program, np.ones(2 * d + C), y, np.concatenate((1.0 - pulled, 1.0 + pulled, y))


def _start_linf(R: Floats, h: Floats) -> tuple[_Program, Floats, Floats, Floats]:
    """lam small and constant, p - n = R'lam with room to spare: every iterate stays on the equations."""
    C, d = R.shape
    program = _Linf(R, h)
    lam = np.full(C, 0.25 / max(float(np.abs(R.sum(axis=0)).sum()), 1.0))
    pulled = lam @ R
    spare = 0.25 / d
    x = np.concatenate((lam, np.maximum(pulled, 0.0) + spare, np.maximum(-pulled, 0.0) + spare, [0.0]))
    x[-1] = 1.0 - float(x[C:].sum())
    t = 1.0 + float(h.max())
    return program, x, np.append(np.zeros(d), -t), np.concatenate((np.ones(C), np.full(2 * d + 1, t)))


def _solve(
    constraints: Constraints,
    tol: float,
    progress: Progress | None,
    start: Callable[[Floats, Floats], tuple[_Program, Floats, Floats, Floats]],
) -> Candidate:
    d = constraints.shape[0]
    zero = zero_row(constraints, True)
    if zero is not None:
        ray = np.zeros(len(constraints))
        ray[zero] = 1.0
        return Candidate(np.zeros(d), ray, ray)
    rows = unit_rows(constraints, True)
    assert rows.dense is not None
    program, *point = start(rows.dense, rows.h)
    best = _Best(program, rows)
    steps, interrupted = {"interior": 0}, False
    iterate: Iterate | None = None
    try:
        for iterate in follow(program, *point):
            steps["interior"] += 1
            best.offer(*program.pair(iterate))
            if best.gap < _NEAR and (program.square(iterate) or best.gap < _CLOSE):
                best.offer(*program.vertex(iterate))
            if best.gap <= _EXACT:
                break
            if iterate.complementarity < 1e-18 or best.lower > _HOPELESS * float(rows.h.max()):
                break
            if progress is not None:
                progress(steps["interior"], best.gap)
        if iterate is not None and _EXACT < best.gap < _NEAR:
            best.offer(*program.vertex(iterate))
        hopeless = best.upper == np.inf and best.lower > _DOUBTFUL * float(rows.h.max())
        if best.gap > tol / 4 and not hopeless and rows.dense.size <= _SIMPLEX:
            steps["simplex"] = 1
            best.offer(*program.simplex())
    except KeyboardInterrupt:
        interrupted = True
    return Candidate(best.beta * rows.unit, best.y / rows.length, best.y / rows.length, steps, interrupted)


@dataclass(eq=False)
class _Best:
    """The best weights and the best multipliers seen, each by its own bound."""

    program: _Program
    rows: Rows
    upper: float = np.inf
    lower: float = 0.0
    beta: Floats = field(init=False)
    y: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.beta, self.y = np.zeros(self.rows.dimension), np.zeros(len(self.rows))

    @property
    def gap(self) -> float:
        return self.upper / self.lower - 1.0 if self.lower > 0.0 else np.inf

    def offer(self, beta: Floats, y: Floats) -> float:
        """Keep what is better; return the gap of the two best together."""
        worst = float((self.rows.margins(beta) / self.rows.h).min())
        upper = self.program.value(beta) / worst if worst > 0.0 else np.inf
        if upper < self.upper:
            self.upper, self.beta = upper, beta
        y = np.maximum(y, 0.0)
        size = self.program.dual_value(self.rows.adjoint(y))
        lower = float(self.rows.h @ y) / size if size > 0.0 else 0.0
        if lower > self.lower:
            self.lower, self.y = lower, y
        return self.gap


def _highs(
    cost: Floats, G: Floats, h: Floats, weights: Callable[[Floats], Floats], *, least: float = 0.0
) -> tuple[Floats, Floats]:
    """min cost'x subject to G x >= h, x >= least: the weights and the multipliers of its rows, 0 if none."""
    found = linprog(cost, A_ub=-G, b_ub=-h, bounds=(least, None), method="highs-ds")
    if found.x is None:
        return weights(np.zeros(len(cost))), np.zeros(len(h))
    return weights(np.asarray(found.x)), -np.asarray(found.ineqlin.marginals)


def _least_squares(E: Floats, r: Floats) -> Floats:
    """The least correction x with E x = r as nearly as can be."""
    if E.size == 0:
        return np.zeros(E.shape[1])
    if E.shape[0] == E.shape[1]:
        try:
            x = np.linalg.solve(E, r)
        except np.linalg.LinAlgError:
            x = np.full(len(r), np.nan)
        if np.isfinite(x).all():
            return x + np.linalg.solve(E, r - E @ x)
    x, *_ = lstsq(E, r, check_finite=False, lapack_driver="gelsy")
    return np.asarray(x)


_NEAR: Final = 1e-4
"""Relative gap below which the vertex is worth trying."""

_CLOSE: Final = 1e-6
"""Relative gap below which it is tried although its equations are not square (more than one optimum)."""

_EXACT: Final = 1e-13

_SIMPLEX: Final = 300_000
"""Most entries of a program handed to HiGHS."""

_DOUBTFUL: Final = 1e8
"""The same without weights that separate: HiGHS would find none either."""

_HOPELESS: Final = 1e13
"""Lower bound, in units of max h, at which the multipliers are handed on as a candidate proof."""

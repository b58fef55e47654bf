"""1 < p < inf: the least p-norm of the weights, by interior points and Newton's method (docs/svm.md)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import numpy as np
from scipy.linalg import lstsq

from marginflow.arrays import Bools, Floats
from marginflow.norms import AbstractPowers
from marginflow.svm.candidate import Candidate
from marginflow.svm.diagonal.path_following import cholesky, follow
from marginflow.svm.diagonal.positive_parts import AbstractSplitProgram
from marginflow.svm.diagonal.power_cone import power_cone
from marginflow.svm.diagonal.saddle import saddle
from marginflow.svm.euclidean.goldfarb_idnani import least_norm
from marginflow.svm.euclidean.solve_euclidean import solve_euclidean
from marginflow.svm.program import Svm
from marginflow.svm.scaling.independent import independent, spread
from marginflow.svm.scaling.unit_rows import Rows


def solve_lp(
    svm: Svm,
    tol: float,
    *,
    progress: Callable[[int, float], None] | None = None,
    start: Candidate | None = None,
) -> Candidate:
    """Minimise the p-norm of the weights, all entries of W or the diagonal, 1 < p < inf; none of the rows is zero.

    The l2 solution comes first: it finds out whether anything separates, and its p-norm is the scale in which
    the optimum has size at most one, so that no power over- or underflows.
    """
    norm = svm.norm
    assert isinstance(norm, AbstractPowers)
    if svm.constraints.equal.any():
        kept = independent(svm)
        if not kept.all():
            own = None if start is None else Candidate(start.W, start.dual[kept])
            return spread(solve_lp(svm.restrict(kept), tol, progress=progress, start=own), kept)
    R = svm.written_out(square=norm.p > 2.0)
    near = None if start is None else _continue(svm, R, norm, start, tol)
    if near is not None:
        return near
    first = solve_euclidean(svm.euclidean(), tol)
    if first.ray is not None:
        return first
    search = _Search.of(svm, norm, tol, first)
    if not np.isfinite(search.upper):
        return first
    program = _Powers(R, svm.rows.h / search.upper, norm.p, svm.rows.equal)
    l2 = search.beta / search.upper
    _run(search, program, l2, progress)
    return search.candidate({**first.iterations, **search.steps})


def _continue(svm: Svm, R: Floats, norm: AbstractPowers, start: Candidate, tol: float) -> Candidate | None:
    """Newton's method on the rows that were active at an earlier optimum, or None where that is not enough."""
    rows = svm.rows
    search = _Search.of(svm, norm, tol, start)
    size = norm.dual_value(rows.adjoint(search.y))
    if not (np.isfinite(search.upper) and size > 0.0):
        return None
    program = _Powers(R, rows.h / search.upper, norm.p, rows.equal)
    y, active = search.y / size, (search.y > 1e-12 * search.y.max()) | rows.equal
    search.steps = {"newton": 1}
    search.offer(*_on_active(program, y, active))
    if norm.p > 2.0 and search.target < search.gap < _FLAT:
        for pair in _on_equalities(program, search.beta / search.upper, active):
            search.offer(*pair)
    if search.gap > search.target:
        return None
    return search.candidate(search.steps)


def _run(search: "_Search", program: "_Powers", l2: Floats, progress: Callable[[int, float], None] | None) -> None:
    """Every way there is until one reaches the target."""
    steep = program.power > _STEEP
    if steep:
        _follow_cones(search, program, progress)
    # Most attempts that end well fall fast; only when none does are the slow ones seen through.
    for patient, (damped, room) in product((False, True), _ATTEMPTS):
        if search.gap <= search.target:
            return
        _follow(search, program, l2, damped != (program.power > _CURVED), room, patient, progress)
    if search.gap > search.target and program.power > 2.0 and not steep:
        _follow_cones(search, program, progress)


def _follow_cones(search: "_Search", program: "_Powers", progress: Callable[[int, float], None] | None) -> None:
    """The method for large p, from weights with room to spare on every row, however short its margin may be."""
    h = program.b
    if program.equal.any() or not (h > 0.0).all():
        return  # cones need room on every row
    inside = least_norm(program.R, h + 0.2 * h.max()).w
    if not (program.R @ inside > h).all():
        return
    last, misses = np.inf, 0
    search.steps["cones"] = 0
    for beta, y in power_cone(program.R, h, program.power, inside):
        search.steps["cones"] += 1
        search.offer(beta, y)
        if search.gap < _FLAT:
            for pair in _on_equalities(program, beta, y > program.R @ beta - h):
                search.offer(*pair)
        if progress is not None:
            progress(search.steps["cones"], search.gap)
        misses = 0 if search.gap < 0.3 * last else misses + 1
        last = search.gap
        if search.gap <= _EXACT or misses == 2:
            return


def _follow(
    search: "_Search",
    program: "_Powers",
    beta: Floats,
    damped: bool,
    spread: float,
    patient: bool,
    progress: Callable[[int, float], None] | None,
) -> None:
    """One run of the interior point method from `beta`, `spread` away from the boundary."""
    C, d = program.R.shape
    x = np.concatenate((np.maximum(beta, 0.0), np.maximum(-beta, 0.0))) + spread / d
    some = ~program.equal
    y = np.where(some, spread / C, 0.0)
    start = np.concatenate((x, np.full(int(some.sum()), spread))), y, np.concatenate((np.full(2 * d, spread), y[some]))
    mark = np.inf
    for step, point in enumerate(follow(program, *start, damped=damped)):
        search.steps["interior"] += 1
        weights = point.x[:d] - point.x[d : 2 * d]
        search.offer(weights, point.y)
        if search.gap < _NEAR:
            search.steps["newton"] += 1
            active = program.active(point.y, point.x[2 * d :])
            search.offer(*_on_active(program, point.y, active))
            if program.power > 2.0 and search.gap > search.target:
                for pair in _on_equalities(program, weights, active):
                    search.offer(*pair)
        if progress is not None:
            progress(search.steps["interior"], search.gap)
        if search.gap <= _EXACT or point.complementarity < 1e-20:
            break
        if not patient and step % _STALL == _STALL - 1:
            if point.complementarity > 0.1 * mark:
                break
            mark = point.complementarity


@dataclass(frozen=True, eq=False)
class _Powers(AbstractSplitProgram):
    """x = (p, n, s): min sum(p^k + n^k) / k with R (p - n) - s = h."""

    R: Floats
    b: Floats
    power: float
    equal: Bools

    def gradient(self, x: Floats) -> Floats:
        with np.errstate(over="ignore"):
            out = x ** (self.power - 1.0)
        out[2 * self.R.shape[1] :] = 0.0
        return out

    def curvature(self, x: Floats) -> Floats:
        with np.errstate(over="ignore"):
            out = (self.power - 1.0) * x ** (self.power - 2.0)
        out[2 * self.R.shape[1] :] = 0.0
        return out


def _on_active(program: _Powers, y: Floats, active: Bools) -> tuple[Floats, Floats]:
    """Newton's method for R_J beta(y) = h_J, beta_j = sign(m_j) |m_j|^(q - 1), m = R_J' y.

    Stationarity holds by construction, so every multiplier is exact for its weights.
    """
    q = program.power / (program.power - 1.0)
    E, h, y = program.R[active], program.b[active], np.where(active, y, 0.0)
    if len(E) == 0:
        return np.zeros(E.shape[1]), y
    part, size = y[active], np.inf
    best = part
    for _ in range(_NEWTON):
        m = part @ E
        with np.errstate(divide="ignore", over="ignore"):
            slope = (q - 1.0) * np.abs(m) ** (q - 2.0)
        residual = h - E @ (np.sign(m) * np.abs(m) ** (q - 1.0))
        now = float(np.abs(residual).max())
        if not now < size or not np.isfinite(slope).all():
            break
        best, size = part, now
        half = E * np.sqrt(slope)
        try:
            part = part + cholesky(half @ half.T)(residual)
        except np.linalg.LinAlgError:
            break
    m = best @ E
    y[active] = best
    return np.sign(m) * np.abs(m) ** (q - 1.0), y


def _on_equalities(program: _Powers, beta: Floats, active: Bools) -> Iterator[tuple[Floats, Floats]]:
    """Newton's method in the weights: min sum |beta|^p / p with R_J beta = h_J.

    For p > 2 a weight near zero is lost in its multiplier, |m| = |beta|^(p - 1), but not in itself.
    """
    p, E, h = program.power, program.R[active], program.b[active]
    d = E.shape[1]
    for _ in range(_NEWTON):
        # The objective is divided by max |beta|^(p - 1), or its terms vanish beside the rows for large p.
        top = float(np.abs(beta).max())
        slope = (np.abs(beta) / top) ** (p - 1.0)
        curvature = (p - 1.0) / top * (np.abs(beta) / top) ** (p - 2.0)
        # A floor where the objective is flat to working precision, or the equations would be singular.
        curvature += 1e-14 * curvature.max()
        right = -np.sign(beta) * slope, h - E @ beta
        # Above, factors lose digits that least squares of the whole system keep: gaps of 2e-10 for 4e-13 at p = 50.
        solved = saddle(curvature, E, *right) if p <= _CURVED else None
        if solved is None:
            K = np.block([[np.diag(curvature), -E.T], [E, np.zeros((len(E), len(E)))]])
            solved, *_ = lstsq(K, np.concatenate(right), check_finite=False, lapack_driver="gelsy")
        if not np.isfinite(solved).all():
            return
        beta = beta + solved[:d]
        y = np.zeros(len(program.R))
        y[active] = solved[d:]
        yield beta, y
        if np.abs(solved[:d]).max() <= 1e-15 * np.abs(beta).max():
            return


@dataclass(eq=False)
class _Search:
    """The best weights and the best multipliers, each by its own bound."""

    rows: Rows
    shape: tuple[int, ...]
    norm: AbstractPowers
    target: float
    beta: Floats
    y: Floats
    upper: float = np.inf
    lower: float = 0.0
    steps: dict[str, int] = field(default_factory=lambda: {"interior": 0, "newton": 0})

    def __post_init__(self) -> None:
        self.offer(self.beta, self.y)

    @staticmethod
    def of(svm: Svm, norm: AbstractPowers, tol: float, start: Candidate) -> "_Search":
        """A search for a gap of tol/4 from weights and multipliers in the user's units."""
        scale = svm.rows.scale
        beta, y = scale.reduce(start.W.ravel()), scale.reduce_dual(np.maximum(start.dual, svm.rows.floor))
        return _Search(svm.rows, svm.shape, norm, tol / 4.0, beta, y)

    def candidate(self, steps: dict[str, int]) -> Candidate:
        """Both in the user's units."""
        scale = self.rows.scale
        return Candidate(scale.restore(self.beta).reshape(self.shape), scale.restore_dual(self.y), None, steps)

    @property
    def gap(self) -> float:
        return self.upper / self.lower - 1.0 if self.lower > 0.0 else np.inf

    def offer(self, beta: Floats, y: Floats) -> None:
        """Keep what is better."""
        # A margin is known to about |beta| eps; the door lifts what lacks (`lift_margins`).
        length = float(np.sqrt(beta @ beta))
        worst = self.rows.reached(self.rows.margins(beta) + 4e-16 * length, length)
        if worst > 0.0 and self.norm.value(beta) / worst < self.upper:
            self.upper, self.beta = self.norm.value(beta) / worst, beta / worst
        y = np.maximum(y, self.rows.floor)
        size = self.norm.dual_value(self.rows.adjoint(y))
        if size > 0.0 and float(self.rows.h @ y) / size > self.lower:
            self.lower, self.y = float(self.rows.h @ y) / size, y


_ATTEMPTS: Final = ((False, 0.1), (True, 0.1), (False, 1.0), (True, 1.0), (False, 0.01), (True, 0.01))
"""(damped steps, distance from the boundary) of each attempt for p <= 8; damped the other way about above."""

_CURVED: Final = 8.0

_STEEP: Final = 15.0
"""Exponents from which the cones come first."""

_FLAT: Final = 1e-3
"""Relative gap below which Newton's method on the active rows follows each central point of the cones."""

_STALL: Final = 8
"""Steps within which the mean complementarity must fall tenfold, or a first attempt is given up."""

_NEAR: Final = 1e-4
"""Relative gap below which Newton's method on the active rows is tried."""

_EXACT: Final = 1e-13

_NEWTON: Final = 12

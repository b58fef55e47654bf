"""Restarted reflected-Halpern primal-dual hybrid gradient for min N(W) s.t. A W >= h (docs/svm-nuclear.md, stage A).

Generic in the norm: only its proximal map and the two values enter. Derivation and the choice of every
constant: docs/svm-nuclear.md, section 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.svm.scaling.operator import Operator


class Norm(Protocol):
    """What the solvers need to know about a norm of matrices."""

    def prox(self, Y: Floats, tau: float) -> tuple[Floats, float]:
        """argmin_W N(W) + |W - Y|_F^2 / (2 tau), and N of it."""

    def value(self, W: Floats) -> float:
        """N(W)."""

    def dual_value(self, B: Floats) -> float:
        """max <B, W> over N(W) <= 1."""


@dataclass(frozen=True, eq=False)
class Point:
    """A primal and a dual guess with the bounds they give: lower <= N* <= upper, up to rounding.

    Attributes:
        W: (d, d_z), not yet divided by its least margin.
        dual: (C,) nonnegative but for equalities, not yet divided by N_d(A* dual).
        upper: N(W) / min_c margin_c/h_c, or inf; W meets equalities and rows of level 0 up to rounding.
        lower: dual . h / N_d(A* dual), or 0.
    """

    W: Floats
    dual: Floats
    upper: float
    lower: float

    @property
    def gap(self) -> float:
        """(upper - lower) / upper."""
        return 1.0 - self.lower / self.upper if self.upper < np.inf else 1.0

    def or_better(self, other: "Point") -> "Point":
        """The better primal and the better dual of the two."""
        primal = other if other.upper < self.upper else self
        dual = other if other.lower > self.lower else self
        if primal is dual:
            return primal
        return Point(primal.W, dual.dual, primal.upper, dual.lower)


def upper_bound(operator: Operator, value: float, margins: Floats) -> float:
    """N(W) / min_c margin_c/h_c of a W with norm `value`: the norm of W scaled to be feasible.

    Of rows of level 1 alone: `feasible` moves W onto the others first.
    """
    if operator.plain:
        least = float((margins / operator.h).min())
    else:
        ratio = margins[operator.leads] / operator.h[operator.leads]
        least = float(ratio.min()) if len(ratio) else np.inf
    return value / least if least > 0 else np.inf


def feasible(operator: Operator, norm: Norm, W: Floats, value: float, margins: Floats) -> tuple[Floats, float]:
    """`W` on the equalities, and on rows of level 0 that it breaks, with the bound that its norm then is."""
    if operator.plain:
        return W, upper_bound(operator, value, margins)
    W = operator.onto(W, margins)
    return W, upper_bound(operator, norm.value(W), operator.margins(W))


def lower_bound(operator: Operator, dual: Floats, dual_value: float) -> float:
    """dual . h / N_d(A* dual), where the cancellation in A* dual counts as part of N_d."""
    rounding = 4e-16 * float(abs(dual).sum())
    top = float(dual @ operator.h)
    return top / (dual_value + rounding) if top > 0 else 0.0


DUAL_FIRST = 2.0  # the weight of the first steps, over the lengths of their start: the dual is farther away (measured)
CHECK = 5  # iterations between residuals
BOUND = 10  # iterations between bounds
FOCUS = 100  # iterations between choices of the constraints worked on
FOCUS_SIZE = 1_000_000  # entries of the operator below which choosing does not pay, nor single precision
SINGLE = 1e-4  # gap down to which products are in single precision
UNSEPARATED = 100  # iterations without a W that separates after which they are not: a ray is a matter of digits


@dataclass
class _State:
    """u = (W, lambda, A W, A* lambda) in one vector, the anchor of the averaging and the step sizes.

    Carrying A W and A* lambda through the averaging, which is linear, makes residuals and bounds free.
    """

    operator: Operator
    L: float
    weight: float
    u: Floats
    anchor: Floats
    k: int = 0
    first: float = np.inf
    last: float = np.inf

    def pack(self, W: Floats, dual: Floats) -> Floats:
        A = self.operator
        packed: Floats = A.xp.module.concatenate((W.ravel(), dual, A.margins(W), A.adjoint(dual).ravel()))
        return packed

    def split(self, u: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        shape = self.operator.shape
        D, C = shape[0] * shape[1], len(self.operator)
        return u[:D].reshape(shape), u[D : D + C], u[D + C : D + 2 * C], u[D + 2 * C :].reshape(shape)

    def restart(self, u: Floats) -> None:
        """Begin a new average at `u`; balance the steps by how far primal and dual moved."""
        W, dual, _, _ = self.split(u - self.anchor)
        moved, dual_moved = self.operator.xp.norm(W), self.operator.xp.norm(dual)
        if moved > 0 and dual_moved > 0:
            self.weight = float(np.sqrt(self.weight * dual_moved / moved))
        self.u = self.anchor = u
        self.k, self.first, self.last = 0, np.inf, np.inf

    def work_on(self, operator: Operator, W: Floats, dual: Floats) -> None:
        """Go on from (W, dual) with other constraints, or with another precision."""
        self.operator, cast = operator, operator.xp.cast
        self.u = self.anchor = self.pack(cast(W, operator.a.dtype), cast(dual, operator.a.dtype))
        self.k, self.first, self.last = 0, np.inf, np.inf


def iterate(operator: Operator, norm: Norm, start: Point | None = None) -> Iterator[tuple[int, Point, Floats]]:
    """Run without end; yield (iterations, current point, growth of the dual since the last restart).

    The growth is a candidate ray of infeasibility. The caller stops by its own test of the points, whose arrays are
    NumPy's; where the operator has a copy on a device, all arrays of the steps are there.
    """
    operator = operator.copy or operator
    xp, lib = operator.xp, operator.xp.module
    single = operator.entries > FOCUS_SIZE
    working = operator.single() if single else operator
    state = _begin(working, norm, start)
    kept: Ints | None = None  # None: all of them
    total = 0
    while True:
        for _ in range(CHECK):
            hat, value, before = _step(state, norm)
        total += CHECK
        grown = lib.maximum(state.split(hat)[1] - state.split(state.anchor)[1], state.operator.floor)
        _restart_if_due(state, hat, before, total)
        if total % BOUND:
            continue
        W, dual, margins, B = (xp.cast(part, xp.double) for part in state.split(hat))
        if single or kept is not None:
            margins = operator.margins(W)
        if kept is not None:
            dual, grown = _scatter(dual, kept, operator), _scatter(grown, kept, operator)
        if single:  # what cancels in single precision may not cancel
            B = operator.adjoint(dual)
        dual_value = norm.dual_value(B)
        lower = lower_bound(operator, dual, dual_value)
        moved, upper = feasible(operator, norm, W, value, margins)
        point = Point(xp.get(moved), xp.get(dual), upper, lower)
        yield total, point, xp.get(xp.cast(grown, xp.double))
        turned = single and (point.gap < SINGLE or (upper == np.inf and total >= UNSEPARATED))
        if turned:
            single, working = False, operator
        wanted = kept
        if total % FOCUS == 0 and point.gap < 0.3 and operator.entries > FOCUS_SIZE:
            wanted = _chosen(operator, kept, _active(operator, dual, margins, point.gap))
        if turned or wanted is not kept:
            kept = wanted
            some, of_them = (working, dual) if kept is None else (working.restrict(kept), dual[xp.put(kept)])
            state.work_on(some, W, of_them)


def _chosen(operator: Operator, kept: Ints | None, wanted: Ints) -> Ints | None:
    """`wanted` where it has others than `kept` or is much smaller; None stands for all."""
    inside = np.ones(len(operator), dtype=bool) if kept is None else _mask(kept, len(operator))
    return wanted if not inside[wanted].all() or len(wanted) < 0.8 * inside.sum() else kept


def _begin(operator: Operator, norm: Norm, start: Point | None) -> _State:
    """The step length 1/||A||, and a start: W along A* of equal duals, as long as its mean margin asks."""
    xp = operator.xp
    if start is not None:
        W, dual = xp.put(start.W), xp.put(start.dual)
    else:
        dual = operator.h / float(operator.h.sum())
        W = operator.adjoint(dual)
        dual = dual / max(norm.dual_value(W), 1e-12)  # W = 0 where the constraints cancel: infeasible
        leads = operator.leads
        margin = float((operator.margins(W)[leads] / operator.h[leads]).mean())
        W = W / margin if margin > 0 else 0.0 * W
    ratio = xp.norm(dual) / max(xp.norm(W), 1e-300)
    weight = DUAL_FIRST * ratio if 1e-100 < ratio < 1e100 else 1.0
    state = _State(operator, 1.02 * operator.bound(), weight, dual, dual)
    state.work_on(operator, W, dual)
    return state


def _step(state: _State, norm: Norm) -> tuple[Floats, float, Floats]:
    """One PDHG step u^ from u, then u <- (k+1)/(k+2) (2 u^ - u) + 1/(k+2) anchor; returns u^, N(W^) and u."""
    A, xp, lib = state.operator, state.operator.xp, state.operator.xp.module
    tau, sigma = 1.0 / (state.L * state.weight), state.weight / state.L
    W, dual, margins, B = state.split(state.u)
    hat_W, value = norm.prox(xp.cast(W + tau * B, xp.double), tau)
    hat_W = xp.cast(hat_W, W.dtype)
    hat_margins = A.margins(hat_W)
    hat_dual = lib.maximum(dual + sigma * (A.h - 2.0 * hat_margins + margins), A.floor)
    hat = lib.concatenate((hat_W.ravel(), hat_dual, hat_margins, A.adjoint(hat_dual).ravel()))
    t = 1.0 / (state.k + 2)
    before = state.u
    state.u = (1.0 - t) * (2.0 * hat - before) + t * state.anchor
    state.k += 1
    return hat, value, before


def _restart_if_due(state: _State, hat: Floats, before: Floats, total: int) -> None:
    """Restart at u^ once the residual |u^ - u|_P has dropped enough (docs/svm-nuclear.md, section 2)."""
    dW, ddual, dmargins, _ = state.split(hat - before)
    w, xp = state.weight, state.operator.xp
    square = w * xp.vdot(dW, dW) + float(ddual @ ddual) / w - 2.0 / state.L * float(ddual @ dmargins)
    if square < 0.0:  # the estimate of ||A|| was too small
        state.L *= 1.1
    residual = float(np.sqrt(max(square, 0.0)))
    if state.k <= CHECK:
        state.first = residual
    elif (
        residual <= 0.5 * state.first
        or (residual <= 0.8 * state.first and residual > state.last)
        or state.k >= 0.36 * total
    ):
        state.restart(hat)
        return
    state.last = residual


def _active(operator: Operator, dual: Floats, margins: Floats, gap: float) -> Ints:
    """The constraints that carry dual or are close to binding at this gap."""
    ratio = margins / operator.unit
    binding = float(dual @ margins) / float(dual @ operator.h)
    return operator.xp.nonzero((dual != 0) | (ratio < (1.01 + gap) * binding) | operator.equal)


def _scatter(dual: Floats, kept: Ints, operator: Operator) -> Floats:
    full: Floats = operator.xp.zeros(len(operator), operator.h)
    full[operator.xp.put(kept)] = operator.xp.cast(dual, full.dtype)
    return full


def _mask(kept: Ints, length: int) -> Bools:
    mask = np.zeros(length, dtype=bool)
    mask[kept] = True
    return mask

"""The late step: implicit and nonlinear, so that it crosses many contacts at once (derived in docs/flow.md 13).

A stiffly accurate SDIRK method of order 2, L-stable, on the clock of unit force: theta_1 = theta_0 + gamma h K_1 and
theta_2 = theta_0 + (1 - gamma) h K_1 + gamma h K_2, K_i = phi'(theta_i)* of the force at the logits of theta_i.
"""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.clock import log_step_time
from marginflow.flow.control import loss_rises
from marginflow.flow.late_newton import Solved, solve_stage
from marginflow.flow.late_rule import COMING
from marginflow.flow.late_stage import KEPT, PASSED, Stage
from marginflow.flow.late_system import StageSystem
from marginflow.flow.point import Point, point
from marginflow.flow.state import State, map_arrays, select
from marginflow.flow.trial import CLOCK_TOLERANCE, UPHILL, Trial
from marginflow.model.objective import Objective


GAMMA: Final = 1.0 - 0.5**0.5

_THIRD: Final = 1.0 / (6.0 * GAMMA * (1.0 - GAMMA))

DIFFERENCE: Final = (0.5 - _THIRD * (1.0 - GAMMA), _THIRD - (1.0 - GAMMA), 0.5 - _THIRD * GAMMA - GAMMA)
"""The quadrature of order 3 on the nodes 0, gamma and 1 less the weights 0, 1 - gamma and gamma of the method."""

FIRST_ORDER: Final = 0.1
"""The share of the difference from implicit Euler that is taken for an error: that of order 2 is far smaller."""

KINK: Final = 7.5
"""The error that one jump of the force within a step makes, over its difference from order 3: for a place c drawn
evenly beyond gamma, the root of the mean square of (1 - gamma - c) / .0286. Those of k jumps add up as root k."""

FAILED: Final = 4.5
"""The error that a step without a solution is given: the next is .4 of it."""

LONGEST: Final = 0.35
"""The part of its lead that a run may gain in one step."""

CONTACT: Final = -1.5
"""The log of a better token's force at which a step ends that would bring it in."""

ANSWERED: Final = 0.5
"""What a better token's force at the end of a step, on a line, may push on its own level: with 1 it runs away."""

COMES_IN: Final = -20.0
"""The log of a better token's force from which that is asked."""

HANDED_OVER: Final = 1.0
"""By how much the level of a better token that has come in may rise in the step after this one."""

STEEP: Final = 30.0
"""The rise of psi in a step from which all its time is spent at its end, and its middle says nothing."""


def late_trial(objective: Objective, state: State, rtol: float) -> Trial:
    """Try one late step of every run of the batch, each alone."""
    each = []
    for b in range(len(state.h)):
        only = np.arange(len(state.h)) == b
        each.append(_of_run(objective.keep(only), select(state, only), rtol))
    return each[0] if len(each) == 1 else map_arrays(lambda *parts: np.concatenate(parts), *each)


def _of_run(objective: Objective, state: State, rtol: float) -> Trial:
    """The trial of one run, B = 1."""
    at = state.at
    stage = Stage.of(objective, at, rtol)
    h = _length(stage, state)
    gh = GAMMA * h
    system = StageSystem(stage)
    first = solve_stage(stage, np.zeros_like(at.theta), gh, stage.guess(stage.start(), gh * at.dtheta), system)
    last = first
    if first.ok:
        base = first.change * ((1.0 - GAMMA) / GAMMA)
        last = solve_stage(stage, base, gh, stage.guess(first.levels, base + first.change), system)
    count = np.array([first.iterations + (last.iterations if first.ok else 0)])
    if not last.ok:
        error = np.array([FAILED if last.part == 1.0 else 1.0])
        part = np.array([last.part * (1.0 if first.ok else GAMMA)])
        return Trial(
            np.array([h]), at, state.psi, state.psi_rate, state.log_time, error, part, count, np.full(1, np.inf)
        )
    new = point(objective, at.theta + last.change, at.s.moved(last.w[None]).rebased())
    psi, rate = -new.force.log_norm, new.force.psi_rate(new.ds)
    length = np.array([h])
    spent, unsure = _time(length, (state.psi, np.array([first.levels.psi]), psi), (state.psi_rate, rate))
    error = np.maximum(_error(stage, h, first, last), unsure / (CLOCK_TOLERANCE * rtol))
    error = np.where(np.isfinite(error), error, 1e6)
    error = np.where(loss_rises(objective, at, new, last.w[None]), np.maximum(error, UPHILL), error)
    longest = np.array([_longest(stage, new, float(rate[0]))])
    return Trial(length, new, psi, rate, spent, error, np.ones(1), count, longest)


def _length(stage: Stage, state: State) -> float:
    """The step's length: at most a third more lead, and no further than where a better token comes in, on a line."""
    at, h = stage.at, float(state.h[0])
    rise = float(state.psi_rate[0])
    if rise > 0.0:
        h = min(h, LONGEST * float(at.force.gap.min()) / rise)
    level = stage.level(np.zeros(stage.below.shape), float(state.psi[0]))
    rate = np.where(stage.below, at.ds[0] - np.take_along_axis(at.ds[0], at.force.top[0][:, None], axis=1), 0.0) + rise
    h = _while_answered(stage, h, level, rate)
    comes = stage.better & (level + rate * h > PASSED) & (rate > 0.0)
    if comes.any():
        h = min(h, float((np.maximum(CONTACT - level, 0.3)[comes] / rate[comes]).min()))
    return h


def _while_answered(stage: Stage, h: float, level: Floats, rate: Floats) -> float:
    """`h`, or the length up to which no better token answers its own pull with more than it.

    With f its force, r the rate of its level and M_cc = h m the push of its force on that, f m h e^(r h) is at most
    `ANSWERED`: r h + log(r h) = log(r ANSWERED / m) - log f, solved by Wright's omega at any level.
    """
    comes = np.flatnonzero(stage.better & (rate > 0.0) & (level + rate * h > COMES_IN))
    algebra = stage.objective.map.stage(stage.at.theta, stage.at.G, 1.0 / (GAMMA * h)) if len(comes) else None
    if algebra is None:
        return h
    # Loading it takes 50 ms, which every command that trains would pay.
    from scipy.special import wrightomega

    r, m = rate.reshape(-1)[comes], algebra.own(stage.rows(comes)) / h
    rise = wrightomega(np.log(r * ANSWERED / m) - level.reshape(-1)[comes])
    return min(h, float((rise / r).min()))


def _longest(stage: Stage, new: Point, psi_rate: float) -> float:
    """The length of the next step up to which the better tokens that have come in can be followed, by Rodas too."""
    turning = stage.better & (new.force.f[0] >= COMING)
    if not turning.any():
        return np.inf
    rate = new.ds[0] - np.take_along_axis(new.ds[0], new.force.top[0][:, None], axis=1) + psi_rate
    return HANDED_OVER / max(float(rate[turning].max()), 1e-300)


def _error(stage: Stage, h: float, first: Solved, last: Solved) -> Floats:
    """(1,) the error of the parameters over what is allowed, by the differences from orders 1 and 3."""
    at, gh = stage.at, GAMMA * h
    K1 = first.change / gh
    K2 = (last.change - first.change * ((1.0 - GAMMA) / GAMMA)) / gh
    theta, distance = at.theta + last.change, stage.objective.map.distance
    euler = distance(theta, gh * (K2 - K1))
    third = distance(theta, h * (DIFFERENCE[0] * at.dtheta + DIFFERENCE[1] * K1 + DIFFERENCE[2] * K2))
    return np.asarray(np.maximum(FIRST_ORDER * euler, _of_kinks(at.force.f[0], last.levels.f) * third) / stage.rtol)


def _of_kinks(before: Floats, after: Floats) -> float:
    """By how much the difference from order 3 is enlarged where few tokens come into the force or leave it."""
    crossed = int(((np.abs(before) > KEPT) != (np.abs(after) > KEPT)).sum())
    return max(1.0, KINK / np.sqrt(crossed)) if crossed else 1.0


def _time(h: Floats, psi: tuple[Floats, Floats, Floats], rate: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """`log_step_time` from psi at the nodes 0, gamma and 1."""
    first, stage, last = psi
    rise, x, y = last - first, GAMMA, 1.0 - GAMMA
    begin = np.where(rise > 0.0, np.minimum(rate[0], 3.0 * rise / h), rate[0])
    cubic = first + rise * x * x * (1.0 + 2.0 * y) + h * begin * x * y * y - h * rate[1] * x * x * y
    bend = np.where(rise > STEEP, 0.0, (stage - cubic) / (16.0 * x * x * y * y))
    middle = (first + last) / 2.0 + h * (begin - rate[1]) / 8.0 + bend
    return log_step_time(h, (first, middle, last), (begin, rate[1]))

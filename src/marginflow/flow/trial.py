"""One step tried: where it leads, the time it takes, and whether it may be taken."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.clock import log_step_time
from marginflow.flow.control import activation, active_tokens, clip_to_margin, loss_rises, step_error, switch_guard
from marginflow.flow.explicit import explicit_step
from marginflow.flow.kinds import StepKind
from marginflow.flow.point import Point, point
from marginflow.flow.rosenbrock import STAGES, step
from marginflow.flow.state import Settings, State, merge
from marginflow.model.force import Force
from marginflow.model.objective import Objective


CLOCK_TOLERANCE: Final = 300.0
"""How much, in units of rtol, the middle of a step may correct log t: what is left after it is far smaller."""

AFTER_REJECTION: Final = 1.2
"""How much a step may grow right after a rejected one: what rejected it, a token's exponential, is still near."""

UPHILL: Final = 32.0
"""The error that a step is given after which the loss is higher: the next is half as long."""

EXPLICIT_FORCES: Final = 7

LONGEST_STEP: Final = 1e30
"""Of the logits, at their present rate; where all forces are balanced no error limits a step."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A step of length `h` (B,) from a state.

    Attributes:
        h: (B,) its length on the clock of unit force.
        new: where it leads.
        psi, psi_rate: (B,) -log(force) there, and its rate.
        log_spent: (B,) log of the time that it takes.
        error: (B,) over what is allowed; 1 and below is good.
        part: (B,) 1, or the part of the step after which to look again.
        forces: (B,) int, how many were evaluated.
        longest: (B,) what the next step's length is not to exceed.
    """

    h: Floats
    new: Point
    psi: Floats
    psi_rate: Floats
    log_spent: Floats
    error: Floats
    part: Floats
    forces: Ints
    longest: Floats


@dataclass(frozen=True, eq=False)
class Decision:
    """What becomes of a trial: (B,) each.

    Attributes:
        accepted: the run moves.
        next_h: the step to try next.
        after_rejection: this one was rejected for its error, or cut to end before an activation.
        landing: this run has gone past the margin asked for, now or before, and been taken back.
    """

    accepted: Bools
    next_h: Floats
    after_rejection: Bools
    landing: Bools


def try_step(objective: Objective, state: State, rtol: float, explicit: bool) -> Trial:
    """Step every run of the batch by its own `state.h`, with one kind of step for all."""
    at, h = state.at, state.h
    if explicit:
        tried = explicit_step(objective, at, h)
    else:
        if state.after_rejection.any():
            h = np.where(state.after_rejection, activation(at, state.psi, state.psi_rate, h), h)
        tried = step(objective, at, h, active_tokens(at, h, rtol, objective.tokens))
    new = _resolved(objective, point(objective, tried.theta, at.s.moved(tried.ds).rebased()), rtol)
    psi = -new.force.log_norm
    middle, rates = _psi_along(objective.force(at.s.moved(tried.ds_middle)), state, new, explicit)
    spent, unsure = log_step_time(h, (state.psi, middle, psi), rates)
    error = np.maximum(step_error(objective, at, new, tried, rtol), unsure / (CLOCK_TOLERANCE * rtol))
    error = np.where(np.isfinite(error), error, 1e6)
    error = np.where(loss_rises(objective, at, new, tried.ds), np.maximum(error, UPHILL), error)
    count = np.full(len(h), EXPLICIT_FORCES if explicit else STAGES)
    return Trial(h, new, psi, rates[1], spent, error, np.ones(len(h)), count, np.full(len(h), np.inf))


def decide(objective: Objective, state: State, trial: Trial, settings: Settings, kind: StepKind) -> Decision:
    """Accept the trial where its error is small and it jumps over nothing, and say how long the next step is."""
    at, new, h = state.at, trial.new, trial.h
    within = trial.error <= 1.0
    growth = kind.growth(trial.error)
    most = np.where(state.after_rejection & (h == state.h), AFTER_REJECTION, kind.most)
    next_h = h * np.where(within, np.minimum(growth, most), np.clip(growth, 0.1, 0.9))
    part = np.minimum(switch_guard(at, new, objective.tokens.scores), trial.part)
    to_margin = clip_to_margin(objective, at, new, settings.until_margin) if settings.lands else np.ones(len(h))
    past = within & (part == 1.0) & (to_margin < 1.0)
    part = np.where(past, to_margin, part)
    cut = within & (part < 1.0)
    next_h = np.where(cut, np.minimum(next_h, h * part), next_h)
    next_h = np.minimum(next_h, LONGEST_STEP / np.maximum(np.abs(at.ds).max(axis=(1, 2)), 1e-200))
    if kind is StepKind.rosenbrock and not within.all():
        # Tried again, it is first cut to the activation that it ran across, if there is one, and only then shortened.
        across = ~within & (activation(at, state.psi, state.psi_rate, h) < h)
        next_h = np.where(across, h, next_h)
    next_h = np.minimum(next_h, trial.longest)
    return Decision(within & ~cut, next_h, ~within | (h < state.h), state.landing | past)


def _psi_along(middle: Force, state: State, new: Point, explicit: bool) -> tuple[Floats, tuple[Floats, Floats]]:
    """psi (B,) in the middle of a step from `state` to `new`, where the force is about `middle`; its rates at the ends.

    Of outputs in R^k the forces inside a face are differences: in a stiff step an error of the middle, or of where a
    step ends, enters them e^lead times enlarged. The variance of the effective scores counts them squared, so its
    logarithm is followed instead, and what the force is beside it, which changes slowly, taken as a straight line.
    """
    at = state.at
    if middle.bend is None or explicit:
        return -middle.log_norm, (state.psi_rate, new.force.psi_rate(new.ds))
    beside = [end.force.log_norm - end.force.log_spread for end in (at, new)]
    slope = (beside[0] - beside[1]) / state.h
    rates = tuple(slope - end.force.spread_rate(end.ds) for end in (at, new))
    return -(middle.log_spread + (beside[0] + beside[1]) / 2.0), (rates[0], rates[1])


def _resolved(objective: Objective, new: Point, rtol: float) -> Point:
    """`new`, its logits taken from its weights where all leads are below what the carried logits are held to."""
    small = new.force.gap.max(axis=1) < rtol
    if not small.any():
        return new
    return merge(small, point(objective, new.theta, objective.logits(new.theta)), new)

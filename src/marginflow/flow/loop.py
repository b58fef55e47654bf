"""The one loop: a batch of flows, each with its own steps, until each has an end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from marginflow.arrays import Bools
from marginflow.flow.clock import log_step_time
from marginflow.flow.control import active_tokens, contact, crossing, explicit_pays, landing, step_error
from marginflow.flow.endings import Stillness, endings
from marginflow.flow.explicit import explicit_step
from marginflow.flow.point import point
from marginflow.flow.record import Record, next_level
from marginflow.flow.rosenbrock import step
from marginflow.flow.state import Progress, Settings, State, map_arrays, merge, select
from marginflow.model.objective import Objective


CLOCK_TOLERANCE: Final = 300.0
"""How much, in units of rtol, the middle of a step may correct log t: what is left after it is far smaller."""

AFTER_REFUSAL: Final = 1.2
"""How much a step may grow right after a refused one: what refused it, a token's exponential, is still near."""


LONGEST_STEP: Final = 1e30
"""Of tau; where all forces are balanced no error limits a step."""


def run(
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None = None,
    until_verdict: bool = False,
) -> None:
    """Integrate every run of the batch to its end, adding snapshots to its record.

    With `until_verdict` a run also stops at the first snapshot whose verdict is certain. A KeyboardInterrupt ends
    all runs where they are.
    """
    ids = np.arange(len(records))
    level = np.array([next_level(float(g)) for g in state.at.force.gap.min(axis=1)])
    still = Stillness.at(state)
    loops = 0
    try:
        while len(ids):
            before = state
            state, accepted = advance(objective, state, settings)
            loops += 1
            reach = state.at.force.gap.min(axis=1)
            moved = (state.at.force.top != before.at.force.top).any(axis=1)
            keep = accepted & ((reach >= level) | moved)
            over = endings(state, reach, objective.tokens.mask, settings)
            over[still.held(state) & (over == "")] = "balanced"
            for b in map(int, np.flatnonzero(state.landing & ~before.landing)):
                records[ids[b]].add_unless_there(before, b)
            for b in map(int, np.flatnonzero(keep | (over != ""))):
                record = records[ids[b]]
                record.add(state, b)
                level[b] = next_level(float(reach[b]))
                if over[b] == "" and until_verdict and record.decided:
                    over[b] = "verdict"
                record.ended = str(over[b])
            go = over == ""
            if progress is not None and (loops % 10 == 0 or not go.any()):
                slowest = float(reach[go].min()) if go.any() else float(reach.min())
                progress(Progress(int(go.sum()), len(records) - int(go.sum()), loops, slowest))
            if not go.all():
                ids, level, state, objective = ids[go], level[go], select(state, go), objective.keep(go)
                still = select(still, go)
    except KeyboardInterrupt:
        for b, i in enumerate(ids):
            records[i].add(state, b)
            records[i].ended = "interrupted"


def advance(objective: Objective, state: State, settings: Settings) -> tuple[State, Bools]:
    """Try one step of every run; return the state after it and which runs moved (B,)."""
    cheap = explicit_pays(state.at, state.h, state.steps, settings.rtol)
    if cheap.all() or not cheap.any():
        return _advance(objective, state, settings, bool(cheap[0]))
    parts = [
        _advance(objective.keep(runs), select(state, runs), settings, kind)
        for runs, kind in ((cheap, True), (~cheap, False))
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(cheap), np.flatnonzero(~cheap)]))
    together = map_arrays(lambda a, b: np.concatenate((a, b))[order], parts[0][0], parts[1][0])
    return together, np.concatenate((parts[0][1], parts[1][1]))[order]


def _advance(objective: Objective, state: State, settings: Settings, explicit: bool) -> tuple[State, Bools]:
    """`advance` with one kind of step for all."""
    at, h = state.at, state.h
    with np.errstate(all="ignore"):
        if explicit:
            tried = explicit_step(objective, at, h)
        else:
            if state.careful.any():
                h = np.where(state.careful, contact(at, state.psi, state.psi_rate, h), h)
            active = active_tokens(at, h, settings.rtol)
            tried = step(objective, at, h, active)
        new = point(objective, tried.theta, at.s.moved(tried.ds).rebased())
        error = step_error(objective, at, new, tried, settings.rtol)
        psi, rate = -new.force.log_norm, new.force.psi_rate(new.ds)
        middle = -objective.force(at.s.moved(tried.ds_middle)).log_norm
        spent, unsure = log_step_time(h, (state.psi, middle, psi), (state.psi_rate, rate))
        error = np.maximum(error, unsure / (CLOCK_TOLERANCE * settings.rtol))
        error = np.where(np.isfinite(error), error, 1e6)
        growth = 0.9 * np.maximum(error, 1e-10) ** -0.2
        most = np.where(state.careful & (h == state.h), AFTER_REFUSAL, 5.0)
        next_h = h * np.where(error <= 1.0, np.minimum(growth, most), np.clip(growth, 0.1, 0.9))
        fraction, landed = crossing(at, new, objective.tokens.scores), landing(at, new, settings.until_margin)
        past = (error <= 1.0) & (fraction == 1.0) & (landed < 1.0)
        fraction = np.where(past, landed, fraction)
        jumped = (error <= 1.0) & (fraction < 1.0)
        next_h = np.minimum(np.where(jumped, np.minimum(next_h, h * fraction), next_h), LONGEST_STEP)
        log_time = np.logaddexp(state.log_time, spent)
        drift = np.maximum(state.drift, objective.map.drift(new.theta, state.start))
        refused = error > 1.0
        across = np.zeros_like(refused)
        if not explicit and refused.any():
            # First cut to the contact that it ran across, if there is one, and only then shortened.
            across = refused & (contact(at, state.psi, state.psi_rate, h) < h)
            next_h = np.where(across, h, next_h)
    good = ~(refused | jumped)
    careful = refused | (h < state.h)
    gone_past = state.landing | past
    after = State(
        new,
        psi,
        rate,
        state.tau + h,
        log_time,
        next_h,
        error,
        careful,
        gone_past,
        state.steps,
        state.evaluations,
        drift,
        state.start,
    )
    out = merge(good, after, replace(state, h=next_h, careful=careful, landing=gone_past))
    return replace(out, steps=state.steps + 1, evaluations=state.evaluations + (7 if explicit else 8)), good

"""The one loop: a batch of flows, each with its own steps, until each has an end."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.flow.endings import Stationarity, endings
from marginflow.flow.kinds import Kinds, StepKind, kinds
from marginflow.flow.late import late_trial
from marginflow.flow.record import Record, next_level
from marginflow.flow.sensitivity import Sensitivity
from marginflow.flow.state import Progress, Settings, State, map_arrays, merge, select
from marginflow.flow.trial import decide, try_step
from marginflow.model.objective import Objective
from marginflow.trajectory.ended import Ended


def run(
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None = None,
    until_verdict: bool = False,
    barrier: Floats | None = None,
) -> None:
    """Integrate every run of the batch to its end, adding snapshots to its record.

    With `until_verdict` a run also stops at the first snapshot whose verdict is certain. `barrier` (B,) is the log
    excess below which errors no longer matter, that of the records where None. A KeyboardInterrupt goes on to the
    caller; the records of the runs that have no end then hold where they were, as interrupted.
    """
    ids = np.arange(len(records))
    level = np.array([next_level(float(g)) for g in objective.lead(state.at.s, state.at.force)])
    stationarity = Stationarity(objective, state)
    if barrier is None:
        barrier = np.array([record.log_barrier for record in records])
    sensitivity = Sensitivity.at(objective, state, barrier)
    loops = 0
    try:
        while len(ids):
            before = state
            wanted = kinds(objective, before, settings)
            state, accepted = advance(objective, before, settings, wanted)
            sensitivity = sensitivity.after(objective, before, state, accepted, wanted)
            loops += 1
            reach = objective.lead(state.at.s, state.at.force)
            switched = (state.at.force.top != before.at.force.top).any(axis=1)
            over = endings(objective, state, reach, settings, stationarity.reached(state))
            for b in map(int, np.flatnonzero(state.landing & ~before.landing)):
                records[ids[b]].add_unless_there(before, b)
            seen = accepted & ((reach >= level) | switched)
            for b in [b for b, ended in enumerate(over) if seen[b] or ended is not None]:
                record = records[ids[b]]
                record.add(state, b)
                level[b] = next_level(float(reach[b]))
                if over[b] is None and until_verdict and record.decided:
                    over[b] = Ended.verdict
                record.ended, record.growth = over[b], sensitivity.of(b)
                record.early_growth = float(sensitivity.growth[b]) if sensitivity.started[b] else np.inf
            go = np.array([ended is None for ended in over])
            if progress is not None and (loops % 10 == 0 or not go.any()):
                slowest = float(reach[go].min()) if go.any() else float(reach.min())
                progress(Progress(int(go.sum()), len(records) - int(go.sum()), loops, slowest))
            if not go.all():
                ids, level, state, objective = ids[go], level[go], select(state, go), objective.keep(go)
                sensitivity = select(sensitivity, go)
                stationarity.keep(go)
    except KeyboardInterrupt:
        for b, i in enumerate(ids):
            records[i].add_unless_there(state, b)
            records[i].ended = Ended.interrupted
        raise


def advance(objective: Objective, state: State, settings: Settings, wanted: Kinds) -> tuple[State, Bools]:
    """Try one step of every run, of the kinds `wanted`; return the state after it and which runs moved (B,)."""
    if len(wanted) == 1 or (wanted == wanted[0]).all():
        return _advance(objective, state, settings, wanted[0])
    groups = [wanted == kind for kind in StepKind if (wanted == kind).any()]
    parts = [_advance(objective.keep(runs), select(state, runs), settings, wanted[runs][0]) for runs in groups]
    order = np.argsort(np.concatenate([np.flatnonzero(runs) for runs in groups]))
    together = map_arrays(lambda *each: np.concatenate(each)[order], *(after for after, _ in parts))
    return together, np.concatenate([accepted for _, accepted in parts])[order]


def _advance(objective: Objective, state: State, settings: Settings, kind: StepKind) -> tuple[State, Bools]:
    """`advance` with one kind of step for all."""
    with np.errstate(all="ignore"):
        if kind is StepKind.late:
            trial = late_trial(objective, state, settings.rtol)
        else:
            trial = try_step(objective, state, settings.rtol, kind is StepKind.explicit)
        decision = decide(objective, state, trial, settings, kind)
        moved = replace(
            state,
            at=trial.new,
            psi=trial.psi,
            psi_rate=trial.psi_rate,
            tau=state.tau + trial.h,
            log_time=np.logaddexp(state.log_time, trial.log_spent),
            last_error=trial.error,
            drift=np.maximum(state.drift, objective.map.drift(trial.new.theta, state.start)),
        )
    after = replace(
        merge(decision.accepted, moved, state),
        h=decision.next_h,
        after_rejection=decision.after_rejection,
        landing=decision.landing,
        steps=state.steps + 1,
        evaluations=state.evaluations + trial.forces,
    )
    return after, decision.accepted

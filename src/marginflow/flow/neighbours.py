"""Is the end of a run that of the exact flow from its start? Runs from starts beside it tell (docs/flow.md).

A start on the border of a basin (an invariant set such as K = -Q on tokens equal to queries, or the stable manifold of
a saddle) leaves it through rounding or through the tolerance, at a time that has nothing to do with the start. Moved
by more than the run's own error, it leaves sooner, or to the other side: to first order a time that the start decides
changes by opposite amounts for opposite moves, and a time that noise decides does not.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Final, final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.flow.kinds import kinds
from marginflow.flow.loop import advance
from marginflow.flow.record import Record
from marginflow.flow.sensitivity import BARRIER_LEAD, relative_error
from marginflow.flow.state import Settings, State, first_state, select
from marginflow.model.objective import Objective
from marginflow.trajectory.verdict import FlowStatus, Verdict


SENSITIVE: Final = 0.01
"""Growth of errors times rtol up to which a run is taken for the flow from its start."""

DRIFT, LEAST_DRIFT = 100.0, 1e-3
"""Largest drift of the conserved quantity: in units of rtol (measured: 10 at most), and the least such limit."""

MOVED: Final = 10.0
"""How far the starts beside the given one are from it, relative, in units of rtol: beyond what a run's errors add."""

FARTHEST: Final = 0.03
"""And how far at most, whatever rtol."""

ODD: Final = 0.25
"""The part of the change of a time that need not change its sign with the move."""

SOON: Final = 0.1
"""The largest change of a time, relative to the time."""

CLEAR: Final = 20.0
"""The least lead up to which a trapped run is followed from beside: the steps are explicit until then."""

HELD: Final = 1.0
"""The lead from which a sample counts as being on its top token: ties of small logits come and go without weight."""

RESOLVED_STEP: Final = 0.1
"""The part of a step to which the time of an event within it is known, by a straight line."""


class _Goal(ABC):
    """How far the flow is followed from starts beside each other."""

    missed: str

    @abstractmethod
    def reached(self, excess: tuple[float, float], lead: tuple[float, float]) -> float | None:
        """The part of a step after which it is reached, None if not: `excess` and least `lead` are of both its ends."""


@final
@dataclass(frozen=True)
class _Barrier(_Goal):
    """That of the minimal loss."""

    log_excess: float
    least_lead: float = BARRIER_LEAD
    missed = "it does not come below the barrier of the minimal loss in as many steps"

    def reached(self, excess: tuple[float, float], lead: tuple[float, float]) -> float | None:
        if excess[1] >= self.log_excess or lead[1] < self.least_lead:
            return None
        return _crossing(self.log_excess, *excess) if excess[0] > self.log_excess else 0.0


@final
@dataclass(frozen=True)
class _Clear(_Goal):
    """The first time that every sample is clearly on a token, whichever it is."""

    missed = "its tokens do not come to lead in as many steps"

    def reached(self, excess: tuple[float, float], lead: tuple[float, float]) -> float | None:
        if lead[1] < CLEAR:
            return None
        return _crossing(CLEAR, *lead) if lead[0] < CLEAR else 0.0


def _crossing(level: float, first: float, last: float) -> float:
    """The part of the way from `first` to `last` at which a straight line is at `level`."""
    return float(np.clip((level - first) / (last - first), 0.0, 1.0))


@dataclass(eq=False)
class _Events:
    """The clock at which one run changes its top tokens and reaches its goal, with what is not known of it."""

    switches: dict[tuple[int, int, float], tuple[float, float]] = field(default_factory=dict)
    held: dict[int, tuple[int, float]] = field(default_factory=dict)
    reached: tuple[float, float] | None = None
    slowest: tuple[float, float] = (np.inf, np.nan)


def settled(
    verdict: Verdict, objective: Objective, record: Record, settings: Settings, runs_beside: bool = True
) -> Verdict:
    """`verdict`, or what must be said instead where the run is not known to be the flow from its start.

    `objective` is that of the run's one problem. A run whose errors cannot have grown much before the barrier needs no
    second look; what comes after does not matter, because the theorem speaks of every orbit below it. A trap has no
    barrier: there the question is whether the start decides the tokens of the first time that all lead by `CLEAR`.
    Without `runs_beside` a run that needs the second look is undecided.
    """
    if verdict.status is FlowStatus.undecided or verdict.proof == "convex":
        return verdict
    restart, why = record.restart(), None
    drift, most = float(restart.drift[-1]), min(max(LEAST_DRIFT, DRIFT * settings.rtol), 0.5)
    trapped = verdict.status is FlowStatus.trapped
    growth = record.early_growth if trapped else record.growth
    if drift > most:
        why = (
            f"the conserved quantity has drifted by {drift:.3g} of the parameters, more than {most:.2g}: "
            "the run is not the flow from its start; a smaller rtol may decide"
        )
    elif growth * settings.rtol > SENSITIVE and not runs_beside:
        why = "the run was interrupted before starts beside its own could tell whether it is the flow from its start"
    elif growth * settings.rtol > SENSITIVE:
        steps = 2 * int(record.snapshots().steps[-1]) + 100
        # Of outputs in R^k the theorem is about the excess alone.
        lead = BARRIER_LEAD if objective.values is None else -np.inf
        goal = _Clear() if trapped else _Barrier(record.log_barrier, lead)
        why = border_of_a_basin(objective, restart.start, goal, settings.rtol, steps)
    return verdict if why is None else replace(verdict, status=FlowStatus.undecided, reason=why, proof="")


def border_of_a_basin(objective: Objective, start: Floats, goal: "_Goal", rtol: float, most_steps: int) -> str | None:
    """Why the flow from `start` (...) is not known to reach the goal as its run did; None where it is."""
    size = min(MOVED * rtol, FARTHEST)
    moves = [size * relative_error(objective, start[None], seed)[0] for seed in (2, 3)]
    starts = np.stack([start, *(start + sign * move for move in moves for sign in (1.0, -1.0))])
    own, *beside = _follow(objective, starts, goal, rtol, most_steps)
    changed = _changed(own, beside, goal)
    if not changed:
        return None
    return (
        f"the start is on the border of a basin, or within a relative {rounding.text_up(size, 1)} of it, and rounding "
        f"or the tolerance decided where the run went: moved by as little, {changed}; in exact arithmetic it may stay "
        f"at log excess {own.slowest[1]:.4g}, where the run stood still the longest (a smaller rtol decides unless it "
        "does)"
    )


def _changed(own: _Events, beside: list[_Events], goal: "_Goal") -> str:
    """What is otherwise beside the run, where the start should not change it so; "" for nothing."""
    if own.reached is None or any(other.reached is None for other in beside):
        return goal.missed
    for plus, minus in zip(beside[::2], beside[1::2], strict=True):
        if not own.switches.keys() == plus.switches.keys() == minus.switches.keys():
            return "it turns to other tokens on the way"
        times = [(own.switches[key], plus.switches[key], minus.switches[key]) for key in own.switches]
        times.append((own.reached, plus.reached, minus.reached))  # type: ignore[arg-type]
        for (at, unsure), (later, unsure_plus), (sooner, unsure_minus) in times:
            up, down, room = later - at, sooner - at, unsure + unsure_plus + unsure_minus
            most = max(abs(up), abs(down))
            if abs(up + down) > ODD * most + room or most > SOON * at + room:
                return f"its clock reads {later:.6g} or {sooner:.6g} where it read {at:.6g}"
    return ""


def _follow(objective: Objective, starts: Floats, goal: "_Goal", rtol: float, most_steps: int) -> list[_Events]:
    """Run all `starts` (B, ...) to the goal."""
    settings = Settings(np.inf, rtol, most_steps)
    state = first_state(objective, starts)
    out = [_Events() for _ in starts]
    ids = np.arange(len(starts))
    excess = objective.log_excess(state.at.s)
    for _ in range(most_steps):
        before, last = state, excess
        state, accepted = advance(objective, state, settings, kinds(objective, state, settings))
        excess = objective.log_excess(state.at.s)
        for b in map(int, np.flatnonzero(accepted)):
            _note(out[ids[b]], objective, before, state, b, (float(last[b]), float(excess[b])), goal)
        go = np.array([out[i].reached is None for i in ids]) & np.isfinite(excess)
        if not go.any():
            break
        ids, state, excess = ids[go], select(state, go), excess[go]
    return out


def _note(
    events: _Events,
    objective: Objective,
    before: State,
    state: State,
    b: int,
    excess: tuple[float, float],
    goal: "_Goal",
) -> None:
    """What the last step of run `b` of the batch did."""
    start, end = float(before.tau[b]), float(state.tau[b])
    old, new = before.at.force, state.at.force
    scores = objective.tokens.scores[0]
    for i in map(int, np.flatnonzero(new.gap[b] >= HELD)):
        # Copies of a token are one token: only a change of the score counts. Tokens with values are told by place.
        top = int(new.top[b, i])
        score = float(scores[i, top] if objective.values is None else top)
        count, last = events.held.get(i, (0, np.nan))
        if score != last:
            events.held[i] = (count + 1, score)
            same = old.top[b, i] == new.top[b, i]
            first = old.gap[b, i] if same else -old.gap[b, i]
            rise = new.gap[b, i] - first
            part = np.clip((HELD - first) / rise, 0.0, 1.0) if rise > 0.0 else 1.0
            events.switches[i, count, score] = (start + float(part) * (end - start), RESOLVED_STEP * (end - start))
    # Beyond 1e16 of the clock a step need not move it.
    speed = (excess[0] - excess[1]) / max(end - start, 1e-300)
    if speed < events.slowest[0]:
        events.slowest = (speed, excess[1])
    leads = [float(objective.lead(end.at.s, end.at.force)[b]) for end in (before, state)]
    part = goal.reached(excess, (leads[0], leads[1]))
    if part is not None:
        events.reached = (start + part * (end - start), RESOLVED_STEP * (end - start))

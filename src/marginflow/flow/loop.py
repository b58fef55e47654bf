"""The one loop: a batch of flows, each with its own steps, until each has an end."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.abstract import AbstractLift
from marginflow.flow.clock import log_step_time
from marginflow.flow.control import active_tokens, contact, crossing, explicit_pays, landing, step_error
from marginflow.flow.explicit import explicit_step
from marginflow.flow.force import Logits, Loss, force
from marginflow.flow.rosenbrock import Point, point, step
from marginflow.flow.snapshots import Snapshots
from marginflow.flow.tokens import Tokens
from marginflow.flow.trajectory import FlowStatus
from marginflow.flow.verdict import Judge


CLOCK_TOLERANCE: Final = 300.0
"""How much, in units of rtol, the middle of a step may correct log t: what is left after it is far smaller."""

AFTER_REFUSAL: Final = 1.2
"""How much a step may grow right after a refused one: what refused it, a token's exponential, is still near."""

PER_DECADE: Final = 8
"""Snapshots per decade of the least lead."""

SMALLEST_STEP: Final = 1e-14
"""Of tau; a step below moves nothing in float64."""

LONGEST_STEP: Final = 1e30
"""Of tau; where all forces are balanced no error limits a step."""

BALANCED_STEPS: Final = 1000
BALANCED_CHANGE: Final = 0.01
"""A change of log(force) below this over that many steps: the force is balanced at finite leads."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """What every run of a batch shares."""

    until_margin: float
    rtol: float
    max_steps: int
    loss: Loss


@dataclass(frozen=True)
class Progress:
    """How far a batch has come.

    Attributes:
        running, finished: runs.
        steps: steps that the batch has taken.
        margin: the least margin that acts, of the slowest run.
    """

    running: int
    finished: int
    steps: int
    margin: float


@dataclass(frozen=True, eq=False)
class State:
    """All that changes along a batch of `B` runs; one entry, restored, goes on to the same bits.

    Attributes:
        at: where the runs are.
        psi, psi_rate: (B,) -log(force) and its rate.
        tau, log_time, h: (B,) the force clock, log of the time, and the next step.
        last_error: (B,) of the last accepted step, over what is allowed.
        careful: (B,) the last step was refused, or cut to end before a contact: the next one looks out for contacts.
        landing: (B,) a step has gone past the margin asked for, and been taken back.
        steps, evaluations: (B,) int.
        drift: (B,) largest drift of the conserved quantity so far.
        start: (B, ...) the first theta.
    """

    at: Point
    psi: Floats
    psi_rate: Floats
    tau: Floats
    log_time: Floats
    h: Floats
    last_error: Floats
    careful: Bools
    landing: Bools
    steps: Ints
    evaluations: Ints
    drift: Floats
    start: Floats


class Record:
    """The snapshots of one run as they come in."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.rows: list[tuple[Any, ...]] = []
        self.tau = -1.0
        self.ended = ""

    @property
    def decided(self) -> bool:
        """Whether the verdict on the last snapshot is certain."""
        return self.judge(self._stack(self.rows[-1:]), "").status is not FlowStatus.undecided

    def add_unless_there(self, state: State, b: int) -> None:
        """Keep run `b` of the batch unless its last snapshot is where it still stands."""
        if self.tau != state.tau[b]:
            self.add(state, b)

    def add(self, state: State, b: int) -> None:
        """Keep run `b` of the batch as it is."""
        at = state.at
        self.tau = float(state.tau[b])
        self.rows.append(
            (
                at.theta[b].copy(),
                at.s.high[b].copy(),
                at.s.low[b].copy(),
                at.force.f[b].copy(),
                state.log_time[b],
                state.tau[b],
                state.h[b],
                state.last_error[b],
                state.careful[b],
                state.steps[b],
                state.evaluations[b],
                state.drift[b],
                state.start[b],
            )
        )

    def snapshots(self) -> Snapshots:
        """All of them, stacked."""
        return self._stack(self.rows)

    @staticmethod
    def _stack(rows: list[tuple[Any, ...]]) -> Snapshots:
        names = [f.name for f in fields(Snapshots) if f.name != "start"]
        columns = list(zip(*rows, strict=True))
        start = columns.pop()[0]
        return Snapshots(**{n: np.stack(c) for n, c in zip(names, columns, strict=True)}, start=start)


@dataclass(frozen=True, eq=False)
class Stillness:
    """Tells runs in which tokens hold each other at finite leads: psi (B,) stands still from one mark to the next.

    Plateaus of a flow that goes on are passed in tens of steps, because the clock has unit force.
    """

    psi: Floats
    steps: Ints

    @classmethod
    def at(cls, state: State) -> "Stillness":
        """A first mark."""
        return cls(state.psi.copy(), state.steps.copy())

    def held(self, state: State) -> Bools:
        """(B,) True for runs that a whole interval has not moved; marks are renewed as they fall due."""
        due = state.steps - self.steps >= BALANCED_STEPS
        held = due & (np.abs(state.psi - self.psi) < BALANCED_CHANGE)
        self.psi[due], self.steps[due] = state.psi[due], state.steps[due]
        return np.asarray(held)


def first_state(lift: AbstractLift, tokens: Tokens, theta: Floats, loss: Loss) -> State:
    """The state at a start `theta` (B, ...)."""
    s = Logits.of(tokens.push(lift.weights(theta)), tokens.mask)
    at = point(lift, tokens, theta, s, loss)
    B = len(theta)
    moves = lift.distance(theta, at.dtheta) + np.abs(at.ds).max(axis=(1, 2))
    zero, count = np.zeros(B), np.zeros(B, dtype=np.int64)
    return State(
        at,
        -at.force.log_norm,
        at.force.psi_rate(at.ds),
        zero,
        np.full(B, -np.inf),
        0.01 / np.maximum(moves, 1e-10),
        np.ones(B),
        np.zeros(B, dtype=bool),
        np.zeros(B, dtype=bool),
        count,
        count + 1,
        zero,
        theta,
    )


def restored_state(lift: AbstractLift, tokens: Tokens, kept: Snapshots, i: int, loss: Loss) -> State:
    """The state of one run at snapshot `i`: going on from it gives the bits that the run itself gave."""
    s = Logits(kept.high[i][None], kept.low[i][None])
    at = point(lift, tokens, kept.theta[i][None], s, loss)
    own = {name: getattr(kept, name)[i][None] for name in ("tau", "log_time", "h", "last_error", "careful")}
    spent = {name: getattr(kept, name)[i][None] for name in ("steps", "evaluations", "drift")}
    psi, rate = -at.force.log_norm, at.force.psi_rate(at.ds)
    never = np.zeros(1, dtype=bool)
    return State(at=at, psi=psi, psi_rate=rate, start=kept.start[None], landing=never, **own, **spent)


def run(
    lift: AbstractLift,
    tokens: Tokens,
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
    level = np.array([_next_level(float(g)) for g in state.at.force.gap.min(axis=1)])
    still = Stillness.at(state)
    loops = 0
    try:
        while len(ids):
            before = state
            state, accepted = advance(lift, tokens, state, settings)
            loops += 1
            reach = state.at.force.gap.min(axis=1)
            moved = (state.at.force.top != before.at.force.top).any(axis=1)
            keep = accepted & ((reach >= level) | moved)
            over = _endings(state, reach, tokens.mask, settings)
            over[still.held(state) & (over == "")] = "balanced"
            for b in map(int, np.flatnonzero(state.landing & ~before.landing)):
                records[ids[b]].add_unless_there(before, b)
            for b in map(int, np.flatnonzero(keep | (over != ""))):
                record = records[ids[b]]
                record.add(state, b)
                level[b] = _next_level(float(reach[b]))
                if over[b] == "" and until_verdict and record.decided:
                    over[b] = "verdict"
                record.ended = str(over[b])
            go = over == ""
            if progress is not None and (loops % 10 == 0 or not go.any()):
                slowest = float(reach[go].min()) if go.any() else float(reach.min())
                progress(Progress(int(go.sum()), len(records) - int(go.sum()), loops, slowest))
            if not go.all():
                ids, level, state, tokens = ids[go], level[go], select(state, go), tokens.keep(go)
                still = select(still, go)
    except KeyboardInterrupt:
        for b, i in enumerate(ids):
            records[i].add(state, b)
            records[i].ended = "interrupted"


def advance(lift: AbstractLift, tokens: Tokens, state: State, settings: Settings) -> tuple[State, Bools]:
    """Try one step of every run; return the state after it and which runs moved (B,)."""
    cheap = explicit_pays(state.at, state.h, state.steps, settings.rtol)
    if cheap.all() or not cheap.any():
        return _advance(lift, tokens, state, settings, bool(cheap[0]))
    parts = [
        _advance(lift, tokens.keep(runs), select(state, runs), settings, kind)
        for runs, kind in ((cheap, True), (~cheap, False))
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(cheap), np.flatnonzero(~cheap)]))
    together = _map(lambda a, b: np.concatenate((a, b))[order], parts[0][0], parts[1][0])
    return together, np.concatenate((parts[0][1], parts[1][1]))[order]


def _advance(
    lift: AbstractLift, tokens: Tokens, state: State, settings: Settings, explicit: bool
) -> tuple[State, Bools]:
    """`advance` with one kind of step for all."""
    at, h = state.at, state.h
    with np.errstate(all="ignore"):
        if explicit:
            tried = explicit_step(lift, tokens, at, h, settings.loss)
        else:
            if state.careful.any():
                h = np.where(state.careful, contact(at, state.psi, state.psi_rate, h), h)
            active = active_tokens(at, h, settings.rtol)
            tried = step(lift, tokens, at, h, active, settings.loss)
        new = point(lift, tokens, tried.theta, at.s.moved(tried.ds).rebased(), settings.loss)
        error = step_error(lift, at, new, tried, tokens.mask, settings.rtol)
        psi, rate = -new.force.log_norm, new.force.psi_rate(new.ds)
        middle = -force(at.s.moved(tried.ds_middle), tokens.scores, settings.loss).log_norm
        spent, unsure = log_step_time(h, (state.psi, middle, psi), (state.psi_rate, rate))
        error = np.maximum(error, unsure / (CLOCK_TOLERANCE * settings.rtol))
        error = np.where(np.isfinite(error), error, 1e6)
        growth = 0.9 * np.maximum(error, 1e-10) ** -0.2
        most = np.where(state.careful & (h == state.h), AFTER_REFUSAL, 5.0)
        next_h = h * np.where(error <= 1.0, np.minimum(growth, most), np.clip(growth, 0.1, 0.9))
        fraction, landed = crossing(at, new, tokens.scores), landing(at, new, settings.until_margin)
        past = (error <= 1.0) & (fraction == 1.0) & (landed < 1.0)
        fraction = np.where(past, landed, fraction)
        jumped = (error <= 1.0) & (fraction < 1.0)
        next_h = np.minimum(np.where(jumped, np.minimum(next_h, h * fraction), next_h), LONGEST_STEP)
        log_time = np.logaddexp(state.log_time, spent)
        drift = np.maximum(state.drift, lift.drift(new.theta, state.start))
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


def _endings(state: State, reach: Floats, mask: Bools, settings: Settings) -> Any:
    """(B,) why each run ends here, "" where it goes on."""
    over = np.full(len(reach), "", dtype="<U12")
    size = np.where(mask, np.abs(state.at.s.high), 0.0).max(axis=(1, 2))
    over[size * np.finfo(float).eps > 0.01] = "floor"
    over[state.h < SMALLEST_STEP * (1e-200 + state.tau)] = "stalled"
    over[state.steps >= settings.max_steps] = "steps"
    over[reach >= settings.until_margin] = "margin"
    return over


def _next_level(reach: float) -> float:
    """The next of the geometric margins at which a snapshot is due."""
    if reach < 1.0:
        return 1.0
    return float(10.0 ** ((np.floor(np.log10(reach) * PER_DECADE + 1e-9) + 1.0) / PER_DECADE))


def merge(mask: Bools, new: _T, old: _T) -> _T:
    """`new` for the runs in `mask` (B,), `old` for the rest."""
    if mask.all():
        return new
    if not mask.any():
        return old
    return _map(lambda a, b: np.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)


def select(state: _T, keep: Bools) -> _T:
    """The runs in `keep` (B,)."""
    return _map(lambda a: a[keep], state)


def _map(function: Callable[..., Any], first: Any, *rest: Any) -> Any:
    """Apply `function` to every array of (nested) dataclasses of one type."""
    if isinstance(first, np.ndarray):
        return function(first, *rest)
    parts = {f.name: _map(function, getattr(first, f.name), *(getattr(r, f.name) for r in rest)) for f in fields(first)}
    return type(first)(**parts)

"""The one loop: a batch of flows, each with its own steps, until each has an end."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.abstract import AbstractLift
from marginflow.flow.clock import log_step_time
from marginflow.flow.explicit import explicit_step
from marginflow.flow.force import Logits, Loss, force
from marginflow.flow.rosenbrock import Point, Step, point, step
from marginflow.flow.tokens import Tokens
from marginflow.flow.trajectory import FlowStatus, Snapshots
from marginflow.flow.verdict import Judge


FORCE_TOLERANCE: Final = 0.05
"""How much the unit force may differ between a step and its embedded solution."""

CLOCK_TOLERANCE: Final = 300.0
"""How much, in units of rtol, the middle of a step may correct log t: what is left after it is far smaller."""

RESOLVED: Final = 4.0
"""A lead below this, or within this of the least lead, has its pair in the force."""

MANY_ACTIVE: Final = 1500
"""Tokens from which active^3 is dearer than more and shorter explicit steps."""

PER_DECADE: Final = 8
"""Snapshots per decade of the least lead."""

SMALLEST_STEP: Final = 1e-14
"""Of tau; a step below moves nothing in float64."""

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
    steps: Ints
    evaluations: Ints
    drift: Floats
    start: Floats


class Record:
    """The snapshots of one run as they come in."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.rows: list[tuple[Any, ...]] = []
        self.ended = ""

    @property
    def decided(self) -> bool:
        """Whether the verdict on the last snapshot is certain."""
        return self.judge(self._stack(self.rows[-1:]), "").status is not FlowStatus.undecided

    def add(self, state: State, b: int) -> None:
        """Keep run `b` of the batch as it is."""
        at = state.at
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
        count,
        count + 1,
        zero,
        theta,
    )


def restored_state(lift: AbstractLift, tokens: Tokens, kept: Snapshots, i: int, loss: Loss) -> State:
    """The state of one run at snapshot `i`: going on from it gives the bits that the run itself gave."""
    s = Logits(kept.high[i][None], kept.low[i][None])
    at = point(lift, tokens, kept.theta[i][None], s, loss)
    own = {name: getattr(kept, name)[i][None] for name in ("tau", "log_time", "h", "last_error")}
    spent = {name: getattr(kept, name)[i][None] for name in ("steps", "evaluations", "drift")}
    psi, rate = -at.force.log_norm, at.force.psi_rate(at.ds)
    return State(at=at, psi=psi, psi_rate=rate, start=kept.start[None], **own, **spent)


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
    cheap = explicit_pays(state, settings.rtol)
    if cheap.all() or not cheap.any():
        return _advance(lift, tokens, state, settings, bool(cheap[0]))
    out, moved = state, np.zeros(len(cheap), dtype=bool)
    for runs, kind in ((cheap, True), (~cheap, False)):
        part, moved[runs] = _advance(lift, tokens.keep(runs), select(state, runs), settings, kind)
        out = _map(lambda whole, rows, at=runs: _placed(whole, rows, at), out, part)
    return out, moved


def _placed(whole: Floats, rows: Floats, at: Bools) -> Floats:
    """`whole` with `rows` in the places `at` (B,)."""
    out = whole.copy()
    out[at] = rows
    return out


def _advance(
    lift: AbstractLift, tokens: Tokens, state: State, settings: Settings, explicit: bool
) -> tuple[State, Bools]:
    """`advance` with one kind of step for all."""
    at, h = state.at, state.h
    with np.errstate(all="ignore"):
        if explicit:
            tried = explicit_step(lift, tokens, at, h, settings.loss)
        else:
            tried = step(lift, tokens, at, h, active_tokens(state, settings.rtol), settings.loss)
        new = point(lift, tokens, tried.theta, at.s.moved(tried.ds).rebased(), settings.loss)
        error = step_error(lift, at, new, tried, tokens.mask, settings.rtol)
        psi, rate = -new.force.log_norm, new.force.psi_rate(new.ds)
        middle = -force(at.s.moved(tried.ds_middle), tokens.scores, settings.loss).log_norm
        spent, unsure = log_step_time(h, (state.psi, middle, psi), (state.psi_rate, rate))
        error = np.maximum(error, unsure / (CLOCK_TOLERANCE * settings.rtol))
        error = np.where(np.isfinite(error), error, 1e6)
        fraction = crossing(at, new, tokens.scores)
        good = (error <= 1.0) & (fraction == 1.0)
        growth = 0.9 * np.maximum(error, 1e-10) ** -0.2
        next_h = h * np.where(good, np.minimum(growth, 5.0), np.clip(growth, 0.1, 0.9))
        jumped = (error <= 1.0) & (fraction < 1.0)
        next_h = np.where(jumped, np.minimum(next_h, h * fraction), next_h)
        log_time = np.logaddexp(state.log_time, spent)
        drift = np.maximum(state.drift, lift.drift(new.theta, state.start))
    after = State(
        new,
        psi,
        rate,
        state.tau + h,
        log_time,
        next_h,
        error,
        state.steps,
        state.evaluations,
        drift,
        state.start,
    )
    out = merge(good, after, replace(state, h=next_h))
    return replace(out, steps=state.steps + 1, evaluations=state.evaluations + (7 if explicit else 8)), good


def step_error(lift: AbstractLift, at: Point, new: Point, tried: Step, mask: Bools, rtol: float) -> Floats:
    """(B,) the error of a step from `at` to `new` over what is allowed; 1 and below is good.

    Parameters and logits are held to `rtol`. At a margin of 1e9 that alone would let the logits of the acting
    constraints, whose differences are of order 1, go anywhere: so the change of the force that the error makes,
    by the response of either end, is bounded too, less what float64 cannot tell.
    """
    theta = lift.distance(new.theta, tried.theta_error) / rtol
    off = tried.ds_error - np.take_along_axis(tried.ds_error, new.force.top[..., None], axis=2)
    size = 1.0 + np.abs(new.s.high)
    logits = (np.abs(off) / size).max(axis=(1, 2)) / rtol
    floor = 50 * np.finfo(float).eps * np.where(mask, size, 0.0).max(axis=(1, 2))
    change = np.abs(new.force.f - tried.embedded.f)
    for end in (at, new):
        change = np.maximum(change, np.abs(end.force.respond(tried.ds_error)))
    change = change.max(axis=(1, 2))
    weights = np.maximum(change - floor, 0.0) / FORCE_TOLERANCE
    return np.asarray(np.maximum(np.maximum(theta, logits), weights))


def crossing(at: Point, new: Point, scores: Floats) -> Floats:
    """(B,) 1 where no step jumped over a barrier, else the part of the step after which to look again.

    While two tokens of a sample change places, their pair pulls towards the better one with all the force there
    is. A step that changes the top token must therefore begin or end with that pair in the force; and a change
    to a worse token, which that pull resists, must be seen from both sides.
    """
    old, now = at.force.top, new.force.top
    out = np.ones(len(old))
    if not (old != now).any():
        return out
    scores = np.broadcast_to(scores, at.ds.shape)
    gain = np.take_along_axis(scores, now[..., None], axis=2) - np.take_along_axis(scores, old[..., None], axis=2)
    gain = gain[..., 0]
    before, after = at.force.gap, new.force.gap
    seen_before = before <= before.min(axis=1, keepdims=True) + RESOLVED
    seen_after = after <= after.min(axis=1, keepdims=True) + RESOLVED
    both = (before <= RESOLVED) & (after <= RESOLVED)
    fine = (gain == 0) | ((gain > 0) & (seen_before | seen_after)) | both
    part = np.where(fine, 1.0, np.clip(before / (before + after), 0.1, 0.9))
    return np.asarray(np.minimum(out, part.min(axis=1)))


def explicit_pays(state: State, rtol: float) -> Bools:
    """(B,) whether an explicit step is cheaper: half the work of a small implicit one, which grows as active^3.

    Stiffness grows with the lead; the limits were found by timing (docs/flow.md). Each run decides for itself, so
    that it does in a batch what it does alone.
    """
    lead = state.at.force.gap.min(axis=1)
    out = lead < 20.0
    if state.at.ds[0].size > MANY_ACTIVE:
        many = _acts(state, rtol).sum(axis=1) > MANY_ACTIVE
        out |= many & (lead < 300.0)
    return np.asarray(out)


def active_tokens(state: State, rtol: float) -> Ints | None:
    """(B, A) the flat indices of the tokens whose row of the Jacobian can matter in the next step; None for all."""
    size = state.at.ds[0].size
    if size <= 32:
        return None
    acts = _acts(state, rtol)
    most = int(acts.sum(axis=1).max())
    if most == 0 or 2 * most > size:
        return None
    # The longest list decides the width; shorter ones are filled up with any other tokens.
    chosen = np.argpartition(~acts, most - 1, axis=1)[:, :most]
    chosen.sort(axis=1)
    return np.asarray(chosen)


def _acts(state: State, rtol: float) -> Bools:
    """(B, n T) the rows of J_f that can matter.

    Row l is of size |f_l| + p_l |f_i|. What it is multiplied with is of the size of the change of the logits in the
    step, so rows below `rtol` over that are left out.
    """
    here = state.at.force
    per_sample = np.abs(here.f).max(axis=2, keepdims=True)
    weight = (np.abs(here.f) + here.p * per_sample).reshape(len(state.h), -1)
    least = 1e-4 * rtol / (1.0 + state.h * np.abs(state.at.ds).max(axis=(1, 2)))
    return np.asarray(weight >= least[:, None])


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

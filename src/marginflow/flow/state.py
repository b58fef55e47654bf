"""What a batch of flows carries from step to step."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.late_rule import LateRule
from marginflow.flow.point import Point, point
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.model.outputs import Outputs
from marginflow.trajectory.restart import Restart
from marginflow.trajectory.snapshots import Snapshots


_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """What every run of a batch shares.

    Attributes:
        until_margin, rtol, max_steps: as `integrate` takes them.
        least_lead: below it a run ends as left, where it is followed in a limit of large leads.
        lands: a step past the margin asked for is taken back and made to end there; not where leads may jump.
    """

    until_margin: float
    rtol: float
    max_steps: int
    late: LateRule = field(default_factory=LateRule)
    least_lead: float = -np.inf
    lands: bool = True


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
        after_rejection: (B,) the last step was rejected, or cut to end before an activation: the next looks for one.
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
    after_rejection: Bools
    landing: Bools
    steps: Ints
    evaluations: Ints
    drift: Floats
    start: Floats


def first_state(objective: Objective, theta: Floats) -> State:
    """The state at a start `theta` (B, ...)."""
    at = point(objective, theta, objective.logits(theta))
    B = len(theta)
    moves = objective.map.distance(theta, at.dtheta) + np.abs(at.ds).max(axis=(1, 2))
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


def restored_state(objective: Objective, kept: Snapshots, restart: Restart, i: int) -> State:
    """The state of one run at snapshot `i`: going on from it gives the bits that the run itself gave."""
    s = Logits(kept.high[i][None], kept.low[i][None])
    at = point(objective, kept.theta[i][None], s)
    own = restart.clocks(i)
    psi, rate = -at.force.log_norm, at.force.psi_rate(at.ds)
    never = np.zeros(1, dtype=bool)
    seen: dict[str, Any] = {"log_time": kept.log_time[i][None], "steps": kept.steps[i][None]}
    return State(at=at, psi=psi, psi_rate=rate, start=restart.start[None], landing=never, **seen, **own)


def merge(mask: Bools, new: _T, old: _T) -> _T:
    """`new` for the runs in `mask` (B,), `old` for the rest."""
    if mask.all():
        return new
    if not mask.any():
        return old
    return map_arrays(lambda a, b: np.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)


def select(state: _T, keep: Bools) -> _T:
    """The runs in `keep` (B,); `state` itself where these are all."""
    if keep.all():
        return state
    return map_arrays(lambda a: a[keep], state)


def map_arrays(function: Callable[..., Any], first: Any, *rest: Any) -> Any:
    """Apply `function` to every array of (nested) dataclasses of one type; what all runs share stays as it is."""
    if isinstance(first, np.ndarray):
        return function(first, *rest)
    if first is None or isinstance(first, Outputs):
        return first
    parts = {
        f.name: map_arrays(function, getattr(first, f.name), *(getattr(r, f.name) for r in rest)) for f in fields(first)
    }
    return type(first)(**parts)

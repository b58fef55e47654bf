"""What a batch of flows carries from step to step."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.point import Point, point
from marginflow.model.force import Loss
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractLift
from marginflow.trajectory.snapshots import Snapshots


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


def merge(mask: Bools, new: _T, old: _T) -> _T:
    """`new` for the runs in `mask` (B,), `old` for the rest."""
    if mask.all():
        return new
    if not mask.any():
        return old
    return map_arrays(lambda a, b: np.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)


def select(state: _T, keep: Bools) -> _T:
    """The runs in `keep` (B,)."""
    return map_arrays(lambda a: a[keep], state)


def map_arrays(function: Callable[..., Any], first: Any, *rest: Any) -> Any:
    """Apply `function` to every array of (nested) dataclasses of one type."""
    if isinstance(first, np.ndarray):
        return function(first, *rest)
    parts = {
        f.name: map_arrays(function, getattr(first, f.name), *(getattr(r, f.name) for r in rest)) for f in fields(first)
    }
    return type(first)(**parts)

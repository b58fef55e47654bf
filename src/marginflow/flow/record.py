"""The snapshots of a run as they come in."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.point import Point
from marginflow.flow.state import State
from marginflow.model.face_limit import FaceLimit
from marginflow.model.face_limits import face_limit
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.restart import Restart
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus


_T = TypeVar("_T")

PER_DECADE: Final = 8
"""Snapshots per decade of the least lead."""

HELD: Final = 1.3
"""The factor of its least lead that a selection must have held before its SVM is asked on the way: one that is left
again would cost a solve at every change."""


class Record:
    """The snapshots of one run as they come in.

    Of a run onto faces `limit` is what is followed, None for the loss itself, and `stood` where the integrator stood.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.seen: list[tuple[Any, ...]] = []
        self.kept: list[tuple[Any, ...]] = []
        self.start: Floats | None = None
        self.tau = -1.0
        self.lead = self.since = np.inf
        self.top: Ints | None = None
        self.ended: Ended | None = None
        self.growth = self.early_growth = np.inf
        self.seen_as: Callable[[Point, int], tuple[Floats, Floats, Floats, Floats]] = as_it_is
        self.limit: FaceLimit | None = None
        self.stood: list[tuple[Any, ...]] = []
        self._onto_faces = face_limit(judge.problem, judge.loss) is not None

    @property
    def log_barrier(self) -> float:
        """The log excess below which the loss is known to go to its minimum."""
        return self.judge.log_barrier

    @property
    def logits(self) -> tuple[Floats, Floats]:
        """Those of the last snapshot, high and low (n, T)."""
        return self.seen[-1][1], self.seen[-1][2]

    @property
    def decided(self) -> bool:
        """Whether the verdict on the last snapshot is certain."""
        held = self.lead >= HELD * self.since
        said = self.judge(_stacked(Snapshots, self.seen[-1:]), None, held=held, in_passing=True)
        return said.status is not FlowStatus.undecided

    def add_unless_there(self, state: State, b: int) -> None:
        """Keep run `b` of the batch unless its last snapshot is where it still stands."""
        if self.tau != state.tau[b]:
            self.add(state, b)

    def add(self, state: State, b: int) -> None:
        """Keep run `b` of the batch as it is."""
        at = state.at
        self.tau = float(state.tau[b])
        self.start = state.start[b]
        self.lead = float(at.force.gap[b].min())
        same = self.top is not None and np.array_equal(self.top, at.force.top[b])
        self.since = min(self.since, self.lead) if same else self.lead
        self.top = at.force.top[b].copy()
        self.seen.append((*self.seen_as(at, b), state.log_time[b], state.steps[b]))
        if self._onto_faces:
            self.stood.append(self._stands(at, b))
        self.kept.append(
            (
                state.tau[b],
                state.h[b],
                state.last_error[b],
                state.after_rejection[b],
                state.evaluations[b],
                state.drift[b],
            )
        )

    def goes_on(self, before: Snapshots, leads: Floats) -> None:
        """The last snapshot's tokens have led since the first of those `before` that has them; with their `leads`."""
        tokens = (before.high + before.low).argmax(axis=2)
        others = np.flatnonzero((tokens != tokens[-1]).any(axis=1))
        self.since = float(leads[others[-1] + 1 if len(others) else 0 :].min())

    def snapshots(self) -> Snapshots:
        """All of them, stacked."""
        return _stacked(Snapshots, self.seen)

    def restart(self) -> Restart:
        """What the integrator needs to go on from any of them."""
        names = ("theta", "high", "low", "members")
        where: dict[str, Any] = dict.fromkeys(names)
        if self.stood:
            where = {name: np.stack(column) for name, column in zip(names, zip(*self.stood, strict=True), strict=True)}
        return _stacked(Restart, self.kept, start=self.start, **where)

    def _stands(self, at: Point, b: int) -> tuple[Floats, Floats, Floats, Bools]:
        """Where the integrator stands in run `b`, the rows of a limit at their places among all, and of which faces."""
        theta, high, low = at.theta[b].copy(), at.s.high[b].copy(), at.s.low[b].copy()
        shape = self.judge.problem.mask.shape
        if self.limit is None:
            return theta, high, low, np.zeros(shape, dtype=bool)
        rows = np.zeros((2, *shape))
        rows[:, self.limit.rows] = high, low
        return theta, *rows, self.limit.members


def as_it_is(at: Point, b: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Parameters, logits and force of run `b`."""
    return at.theta[b].copy(), at.s.high[b].copy(), at.s.low[b].copy(), at.force.f[b].copy()


def _stacked(kind: Callable[..., _T], rows: list[tuple[Any, ...]], **more: Any) -> _T:
    names = [f.name for f in fields(kind) if f.name not in more]  # type: ignore[arg-type]
    return kind(**{name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}, **more)


def next_level(reach: float) -> float:
    """The next of the geometric margins at which a snapshot is due."""
    if reach < 1.0:
        return 1.0
    return float(10.0 ** ((np.floor(np.log10(reach) * PER_DECADE + 1e-9) + 1.0) / PER_DECADE))

"""The snapshots of a run as they come in."""

from dataclasses import fields
from typing import Any, Final

import numpy as np

from marginflow.flow.state import State
from marginflow.selection.judge import Judge
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus


PER_DECADE: Final = 8
"""Snapshots per decade of the least lead."""


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


def next_level(reach: float) -> float:
    """The next of the geometric margins at which a snapshot is due."""
    if reach < 1.0:
        return 1.0
    return float(10.0 ** ((np.floor(np.log10(reach) * PER_DECADE + 1e-9) + 1.0) / PER_DECADE))

"""What runs from a start and runs that go on share: options, the loop with its interruption, the verdict."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from marginflow.errors import InputError
from marginflow.flow.loop import run
from marginflow.flow.neighbours import settled
from marginflow.flow.onto_face import run_onto_face
from marginflow.flow.record import Record
from marginflow.flow.state import Progress, Settings, State
from marginflow.model.face_limit import FaceLimit
from marginflow.model.held_faces import objective_of
from marginflow.model.objective import Objective
from marginflow.problem.problem import Problem
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


Until = Literal["margin", "verdict"]

LARGEST_MARGIN: Final = 1e15
"""Beyond this float64 cannot tell the logits of two constraints apart at all."""


def check(
    until_margin: float,
    until: str,
    rtol: float,
    max_steps: int,
    scale: float,
) -> None:
    """Refuse options that no run can be asked for.

    Raises:
        InputError: which, what was got and what is expected.
    """
    if until not in ("margin", "verdict"):
        raise InputError(f"until: got {until!r}; expected 'margin' or 'verdict'")
    for name, value, low, high in (
        ("until_margin", until_margin, 1e-3, LARGEST_MARGIN),
        ("rtol", rtol, 1e-12, 1e-2),
        ("scale", scale, 0.0, 1e10),
        ("max_steps", max_steps, 1, 10**9),
    ):
        if not (isinstance(value, int | float | np.number) and low <= value <= high):
            raise InputError(f"{name}: got {value!r}; expected a number between {low:g} and {high:g}")


def run_all(
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None,
    until: Until,
    keep_partial: bool,
    limit: FaceLimit | None = None,
) -> bool:
    """Run the batch, towards `limit` if there is one; whether it was interrupted and what it holds is to be kept."""
    with kept_if_stopped(keep_partial) as stop:
        if limit is None:
            run(objective, state, settings, records, progress, until == "verdict")
        else:
            run_onto_face(limit, objective, state, settings, records, progress, until == "verdict")
    return stop.came


@dataclass
class Stop:
    """Whether Ctrl-C came."""

    came: bool = False


@contextmanager
def kept_if_stopped(keep_partial: bool) -> Iterator[Stop]:
    """Ctrl-C ends the block quietly where what it did so far is to be kept; else it is raised."""
    stop = Stop()
    try:
        yield stop
    except KeyboardInterrupt:
        if not keep_partial:
            raise
        stop.came = True


def verdict_of(
    problem: Problem, record: Record, snapshots: Snapshots, settings: Settings, runs_beside: bool, keep_partial: bool
) -> Verdict:
    """The verdict on a run that has ended, as far as it is known to be the flow from its start.

    Without `runs_beside`, after an interruption, nothing more is integrated to know it.
    """
    judge = record.judge
    with kept_if_stopped(keep_partial) as stop:
        objective = objective_of([problem], judge.parameterization, judge.loss)
        said = judge(snapshots, record.ended)
        known = settled(said, objective, record, settings, runs_beside)
    if stop.came:
        record.ended = Ended.interrupted
        return Verdict(FlowStatus.undecided, Ended.interrupted.value)
    if record.ended is Ended.verdict and known.status is FlowStatus.undecided:
        record.ended = Ended.border
    return known

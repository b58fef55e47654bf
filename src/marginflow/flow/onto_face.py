"""A flow whose loss keeps several tokens of a row: the loss itself up to a lead, then its limit (docs/flow.md 12)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.loop import run
from marginflow.flow.point import Point, point
from marginflow.flow.record import Record, as_it_is
from marginflow.flow.state import Progress, Settings, State
from marginflow.model.face_limit import FaceLimit
from marginflow.model.held_faces import held_faces
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.trajectory.ended import Ended


SWITCH: Final = 20.0
"""Lead out of the face from which the limit is followed: it is the loss to e^-20 of itself, while the pulls inside, of
order 1, leave eps e^20 of the pull from outside to rounding: 1e-7 or less from both."""

LEFT: Final = 15.0
"""Lead below which a limit is left for the loss itself again: a token of larger effective score may come back."""


def run_onto_face(
    limit: FaceLimit,
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None,
    until_verdict: bool,
) -> None:
    """`run` for a problem with the limit `limit`; margins are leads out of the face.

    Of outputs in R^k, one run at a time, it is the lead out of the faces held, whichever they are: the loss is followed
    up to a lead of `SWITCH`, then the limit of these faces, and the loss again where that is left.
    """
    first = replace(settings, until_margin=min(settings.until_margin, SWITCH), lands=objective.values is None)
    while True:
        run(objective, state, first, records, progress, until_verdict)
        gone = [record for record in records if record.ended is Ended.margin and goes_over(SWITCH, settings)]
        if not gone:
            return
        limit = held_by(limit, gone[0])
        own = begin(limit, gone)
        back = follow(own, late_state(limit, own, gone), settings, gone, progress, until_verdict)
        if not back:
            return
        records, state = back, after_limit(objective, back)


def goes_over(lead: float, settings: Settings) -> bool:
    """Whether a run of this lead that follows the loss goes over to the limit of its faces."""
    return lead >= SWITCH and settings.until_margin > SWITCH


def held_by(limit: FaceLimit, record: Record) -> FaceLimit:
    """The limit of the faces that the run is on: of values whichever they are, else `limit`."""
    judge = record.judge
    if judge.problem.values is None:
        return limit
    found, _ = held_faces(judge.problem, judge.loss, judge.parameterization.diagonal).at(*record.logits)
    assert found is not None
    return found


def begin(limit: FaceLimit, records: list[Record]) -> Objective:
    """From here the runs of `records` follow `limit`: its objective."""
    objective = limit.objective(records[0].judge.parameterization)
    for record in records:
        record.ended, record.limit, record.seen_as = None, limit, _Whole(limit, objective)
    return objective


def follow(
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None,
    until_verdict: bool,
) -> list[Record]:
    """Follow a limit from `state`, to the end or until a lead falls below `LEFT`; the records of those that left."""
    growth = [record.early_growth for record in records]
    never, late = np.full(len(records), np.inf), replace(settings, least_lead=LEFT)
    run(objective, state, late, records, progress, until_verdict, barrier=never)
    for record, grown in zip(records, growth, strict=True):
        record.early_growth = grown
    return [record for record in records if record.ended is Ended.left]


def after_limit(objective: Objective, records: list[Record]) -> State:
    """The state of runs that follow the loss itself again, from where they were last seen."""
    for record in records:
        record.ended, record.limit, record.seen_as = None, None, as_it_is
    theta, high, low = (np.stack([record.seen[-1][k] for record in records]) for k in range(3))
    return _state(objective, theta, Logits(high, low), records)


class _Whole:
    """Reads the state of the limit as one of the whole problem: its logits inside the faces are constants."""

    def __init__(self, limit: FaceLimit, objective: Objective) -> None:
        self.limit, self.objective = limit, objective
        self.equal, self.level = limit.equal(objective.tokens.diagonal), limit.inside(objective.tokens.diagonal)

    def __call__(self, at: Point, b: int) -> tuple[Floats, Floats, Floats, Floats]:
        """(theta, high, low, f) of run `b`; theta moved onto the equalities, from which steps drift by their error."""
        held, map = self.objective.held, self.objective.map
        theta, f = at.theta[b][None], at.force.f[b][None]
        high, low = at.s.high[b][None], at.s.low[b][None]
        if held is None:
            s, force = self.limit.whole(Logits(high, low), f, np.zeros((1, 0)), self.equal)
            return theta[0], s.high[0], s.low[0], force[0]
        multipliers = held.multipliers(map, theta, self.objective.tokens.adjoint(f))
        s, force = self.limit.whole(Logits(high, low), f, multipliers, self.equal)
        return held.restored(map, theta, self.level)[0], s.high[0], s.low[0], force[0]


def late_state(limit: FaceLimit, objective: Objective, records: list[Record]) -> State:
    """The state of the limit where the runs of `records` stand."""
    last = [record.seen[-1] for record in records]
    theta, high, low = (np.stack([row[k] for row in last]) for k in range(3))
    if objective.held is not None:
        theta = objective.held.restored(objective.map, theta, limit.inside(objective.tokens.diagonal))
    return _state(objective, theta, limit.inner(high, low), records)


def _state(objective: Objective, theta: Floats, s: Logits, records: list[Record]) -> State:
    """The state of runs that go on at (theta, s) under another objective."""
    last = [record.seen[-1] for record in records]
    kept = [record.kept[-1] for record in records]
    at = point(objective, theta, s)
    B = len(records)
    moves = objective.map.distance(theta, at.dtheta) + np.abs(at.ds).max(axis=(1, 2))
    never = np.zeros(B, dtype=bool)
    return State(
        at,
        -at.force.log_norm,
        at.force.psi_rate(at.ds),
        np.array([row[0] for row in kept]),
        np.array([row[4] for row in last]),
        0.01 / np.maximum(moves, 1e-10),
        np.ones(B),
        never,
        never,
        np.array([row[5] for row in last]),
        np.array([row[4] for row in kept]),
        np.array([row[5] for row in kept]),
        np.stack([np.asarray(record.start) for record in records]),
    )

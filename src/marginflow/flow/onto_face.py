"""A flow whose loss keeps several tokens of a row: the loss itself up to a lead, then its limit (docs/flow.md 12)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.loop import run
from marginflow.flow.point import Point, point
from marginflow.flow.record import Record
from marginflow.flow.state import Progress, Settings, State
from marginflow.model.face_limit import FaceLimit
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization
from marginflow.trajectory.ended import Ended


SWITCH: Final = 20.0
"""Lead out of the face from which the limit is followed: it is the loss to e^-20 of itself, while the pulls inside, of
order 1, leave eps e^20 of the pull from outside to rounding: 1e-7 or less from both."""


def run_onto_face(
    limit: FaceLimit,
    model: AbstractParameterization,
    objective: Objective,
    state: State,
    settings: Settings,
    records: list[Record],
    progress: Callable[[Progress], None] | None,
    until_verdict: bool,
) -> None:
    """`run` for a problem with the limit `limit`; margins are leads out of the face."""
    first = replace(settings, until_margin=min(settings.until_margin, SWITCH))
    run(replace(objective, lead_of=limit.lead), state, first, records, progress, until_verdict)
    gone = [record for record in records if record.ended is Ended.margin and settings.until_margin > SWITCH]
    if not gone:
        return
    late = limit.objective(model)
    begun = _late_state(limit, late, gone)
    growth = [record.early_growth for record in gone]
    for record in gone:
        record.ended, record.seen_as = None, _Whole(limit, late)
    run(late, begun, settings, gone, progress, until_verdict, barrier=np.full(len(gone), np.inf))
    for record, grown in zip(gone, growth, strict=True):
        record.early_growth = grown


class _Whole:
    """Reads the state of the limit as one of the whole problem: its logits inside the faces are constants."""

    def __init__(self, limit: FaceLimit, objective: Objective) -> None:
        self.limit, self.objective = limit, objective
        self.equal, self.level = limit.equal(objective.tokens.diagonal), limit.inside(objective.tokens.diagonal)

    def __call__(self, at: Point, b: int) -> tuple[Floats, Floats, Floats, Floats]:
        """(theta, high, low, f) of run `b`; theta moved onto the equalities, from which steps drift by their error."""
        held, map = self.objective.held, self.objective.map
        assert held is not None
        theta, f = at.theta[b][None], at.force.f[b][None]
        high, low = at.s.high[b][None], at.s.low[b][None]
        multipliers = held.multipliers(map, theta, self.objective.tokens.adjoint(f))
        s, force = self.limit.whole(Logits(high, low), f, multipliers, self.equal)
        return held.restored(map, theta, self.level)[0], s.high[0], s.low[0], force[0]


def _late_state(limit: FaceLimit, objective: Objective, records: list[Record]) -> State:
    """The state of the limit where the runs of `records` stand."""
    assert objective.held is not None
    last = [record.seen[-1] for record in records]
    kept = [record.kept[-1] for record in records]
    theta, high, low = (np.stack([row[k] for row in last]) for k in range(3))
    theta = objective.held.restored(objective.map, theta, limit.inside(objective.tokens.diagonal))
    at = point(objective, theta, limit.inner(high, low))
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

"""Going on with a run from one of its snapshots, to the bits that it would have had."""

from collections.abc import Callable
from dataclasses import replace

from marginflow.arrays import Bools
from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.flow.loop import run
from marginflow.flow.neighbours import CLEAR
from marginflow.flow.onto_face import (
    LEFT,
    after_limit,
    begin,
    follow,
    goes_over,
    held_by,
    late_state,
    run_onto_face,
)
from marginflow.flow.record import Record
from marginflow.flow.runner import Until, check, kept_if_stopped, verdict_of
from marginflow.flow.state import Progress, Settings, restored_state
from marginflow.model.face_limit import FaceLimit
from marginflow.model.held_faces import held_faces, objective_of
from marginflow.model.logits import Logits
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import flow_method
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus


@one_thread()
def resume(
    path: Trajectory,
    *,
    snapshot: int = -1,
    until_margin: float = 1e6,
    until: Until = "margin",
    max_steps: int = 20_000,
    progress: Callable[[Progress], None] | None = None,
    keep_partial: bool = False,
) -> Trajectory:
    """Go on with a single run from one of its snapshots, to the same bits that a run without a stop has.

    Args:
        path: the run, perhaps loaded from a file.
        snapshot: where to go on; later snapshots are dropped. The last one of a run that reached its margin was
            made to land there, by a shortened step: such a run goes on from the one before.
        until_margin, until, progress, keep_partial: as for `integrate`.
        max_steps: in all, with those that the run has taken.

    Returns:
        The trajectory from its start, with the new snapshots and a new verdict.

    Raises:
        InputError: an option that cannot be used, or no such snapshot.
    """
    check(until_margin, until, path.rtol, max_steps, path.scale)
    if path.restart is None:
        raise InputError(f"resume: got a run made by {path.method.label!r}; expected one that `integrate` made")
    if not -len(path) <= snapshot < len(path):
        raise InputError(f"snapshot: got {snapshot}; expected {-len(path)} to {len(path) - 1}")
    problem = path.problem
    keep = range(len(path))[snapshot] + 1
    if keep == len(path) > 1 and path.ended is Ended.margin:
        keep -= 1
    record = Record(Judge(problem, path.parameterization, path.loss))
    settings = Settings(until_margin, path.rtol, max_steps)
    with kept_if_stopped(keep_partial) as stop:
        _go_on(path, keep - 1, settings, record, progress, until == "verdict")
    record.ended = record.ended or Ended.interrupted
    snapshots = path.snapshots.first(keep).then(record.snapshots())
    if path.status is FlowStatus.minimal_loss and path.log_excess[keep - 1] < record.log_barrier:
        record.growth = 0.0
    if path.status is FlowStatus.trapped and path.margin[keep - 1] >= CLEAR:
        record.early_growth = 0.0
    verdict = verdict_of(problem, record, snapshots, settings, not stop.came, keep_partial)
    method = flow_method(
        problem,
        path.parameterization,
        path.loss,
        seed=path.seed,
        scale=path.scale,
        rtol=path.rtol,
        until_margin=until_margin,
        until=until,
    )
    restart = path.restart.first(keep).then(record.restart())
    return replace(path, snapshots=snapshots, verdict=verdict, ended=record.ended, method=method, restart=restart)


def _go_on(
    path: Trajectory,
    i: int,
    settings: Settings,
    record: Record,
    progress: Callable[[Progress], None] | None,
    until_verdict: bool,
) -> None:
    """Run on from snapshot `i`, following the loss itself or, where the run did, the limit of faces."""
    restart, kept, limit = path.restart, path.snapshots, path.limit
    assert restart is not None
    objective = objective_of([path.problem], path.parameterization, path.loss)
    if limit is None:
        state = restored_state(objective, kept, restart, i)
        record.add(state, 0)
        before = kept.first(i + 1)
        record.goes_on(before, objective.force(Logits(before.high, before.low)).gap.min(axis=1))
        run(objective, state, settings, [record], progress, until_verdict)
        return
    if restart.theta is None or restart.high is None or restart.low is None or restart.members is None:
        raise InputError(
            "resume: got a run onto faces of a version that did not keep where its integrator stood; run it again"
        )
    followed = _followed(path, limit, restart.members[i])
    if followed is None:
        state = restored_state(objective, kept, restart, i)
        record.add(state, 0)
        # Where a leg of the loss ended, the run itself went over to the limit.
        over = goes_over(float(objective.lead(state.at.s, state.at.force)[0]), settings)
        if over:
            followed = held_by(limit, record)
            own = begin(followed, [record])
            state = late_state(followed, own, [record])
    else:
        own, rows = begin(followed, [record]), followed.rows
        stood = replace(kept, theta=restart.theta, high=restart.high[:, rows], low=restart.low[:, rows])
        state = restored_state(own, stood, restart, i)
        record.add(state, 0)
        over = float(own.lead(state.at.s, state.at.force)[0]) >= LEFT
        state = state if over else after_limit(objective, [record])
    if over:
        back = follow(own, state, settings, [record], progress, until_verdict)
        if not back:
            return
        state = after_limit(objective, back)
    run_onto_face(limit, objective, state, settings, [record], progress, until_verdict)


def _followed(path: Trajectory, limit: FaceLimit, members: Bools) -> FaceLimit | None:
    """The limit of the faces `members` (n, T); None for the loss itself."""
    if not members.any():
        return None
    if path.problem.values is None:
        return limit
    return held_faces(path.problem, path.loss, path.parameterization.diagonal).of(members)

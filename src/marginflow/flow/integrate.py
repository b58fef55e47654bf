"""The door of the flow room: from a start to a verdict, for one run or for many at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np

from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.flow.loop import run
from marginflow.flow.neighbours import CLEAR, settled
from marginflow.flow.onto_face import run_onto_face
from marginflow.flow.record import Record
from marginflow.flow.state import Progress, Settings, State, first_state, restored_state
from marginflow.losses import AbstractOutputLoss, parse_output_loss
from marginflow.model.face_limit import FaceLimit
from marginflow.model.face_limits import face_limit
from marginflow.model.heads import draw, map_of, sized, start
from marginflow.model.held_faces import objective_of
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective, runs_of_one_shape
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import flow_method
from marginflow.trajectory.runs import Runs
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus, Verdict


Until = Literal["margin", "verdict"]

LARGEST_MARGIN: Final = 1e15
"""Beyond this float64 cannot tell the logits of two constraints apart at all."""


def integrate(
    problem: Problem | str,
    parameterization: AbstractParameterization | str,
    *,
    seed: int = 0,
    scale: float = 0.1,
    init: Any = None,
    until_margin: float = 1e6,
    until: Until = "margin",
    loss: str | AbstractOutputLoss | None = None,
    rtol: float = 1e-6,
    max_steps: int = 20_000,
    progress: Callable[[Progress], None] | None = None,
    keep_partial: bool = False,
) -> Trajectory:
    """Run the gradient flow of the mean loss from one start (theory 3.2; method in docs/flow.md).

    Args:
        problem: tokens, queries and scores, or what `load` takes.
        parameterization: `KeyQuery(width)`, `Combined()`, `DiagonalKeyQuery()` or `Diagonal()`, or its word: kq
            (full width), w, diag-kq, diag.
        seed, scale: of the start `scale` times standard normal; unused with `init`.
        init: the start: a tuple of arrays in the order of `parameterization.shapes`, or a dict by name.
        until_margin: stop when the least margin over the tokens really selected reaches this; of values, the least
            lead out of the faces really held.
        until: "verdict" stops earlier, as soon as the verdict is certain.
        loss: a word of `marginflow.losses.LOSSES` or a loss: of the output times the label for scores, of an output in
            R^k for values (cross-entropy, squared); the exponential one for None.
        rtol: relative accuracy of parameters, logits and log time, between 1e-12 and 1e-2.
        max_steps: steps after which to give up, undecided.
        progress: called now and then with a `Progress`.
        keep_partial: on Ctrl-C return what was reached, `ended` as interrupted, instead of raising.

    Returns:
        The trajectory with its verdict.

    Raises:
        KeyboardInterrupt: Ctrl-C, unless `keep_partial`.
        InputError: an option or a start that cannot be used.
        UndefinedError: diagonal weights for tokens and queries of different dimensions.
    """
    return integrate_many(
        problem,
        parameterization,
        seeds=[seed],
        inits=None if init is None else [init],
        scale=scale,
        until_margin=until_margin,
        until=until,
        loss=loss,
        rtol=rtol,
        max_steps=max_steps,
        progress=progress,
        keep_partial=keep_partial,
    )[0]


@one_thread()
def integrate_many(
    problem: Problem | str | Sequence[Problem],
    parameterization: AbstractParameterization | str,
    *,
    seeds: Sequence[int] | None = None,
    inits: Sequence[Any] | None = None,
    scale: float = 0.1,
    until_margin: float = 1e6,
    until: Until = "margin",
    loss: str | AbstractOutputLoss | None = None,
    rtol: float = 1e-6,
    max_steps: int = 20_000,
    progress: Callable[[Progress], None] | None = None,
    keep_partial: bool = False,
) -> Runs:
    """Run many flows together: one problem from many starts, or one start for each of many problems.

    Args:
        problem: one problem, or one for each run; problems of one shape share their steps' overhead.
        seeds: one per run; needed for one problem without `inits`. For many problems 0 for each by default.
        inits: one start per run, as `init` of `integrate`.
        parameterization, scale, until_margin, until, loss, rtol, max_steps, progress, keep_partial: as for
            `integrate`; interrupted, runs that had not begun hold their start.

    Returns:
        One trajectory per run, in order, as a list that shows itself as a table: what `integrate` gives for each, up to
        rounding of the sums.
    """
    _check(until_margin, until, rtol, max_steps, scale)
    loss = parse_output_loss(loss)
    kind = parse_parameterization(parameterization)
    many = isinstance(problem, list | tuple)
    given = [as_problem(p) for p in (problem if isinstance(problem, list | tuple) else [problem])]
    for p in given:
        loss.check(p)
    count = _count(given, many, seeds, inits)
    numbers = _seeds(seeds, count, inits is not None)
    problems = given if many else given * count
    models = [sized(kind, p, None if inits is None else inits[i]) for i, p in enumerate(problems)]
    judges: dict[tuple[int, AbstractParameterization], Judge] = {}
    for p, model in zip(problems, models, strict=True):
        judges.setdefault((id(p), model), Judge(p, model, loss))
        limit = face_limit(p, loss)
        if limit is not None:
            limit.check(model)
    starts = []
    for i, p in enumerate(problems):
        rng = np.random.default_rng(numbers[i])
        model = models[i]
        arrays = draw(model, p, rng, scale) if inits is None else inits[i]
        starts.append(map_of(model, p).pack(start(model, p, arrays)))
    settings = Settings(until_margin, rtol, max_steps)
    out: dict[int, Trajectory] = {}
    stopped = False
    for group in _groups(problems, models, loss):
        members = [problems[i] for i in group]
        shared = all(p is members[0] for p in members)
        objective = objective_of(members[:1] if shared else members, models[group[0]], loss)
        state = first_state(objective, np.stack([starts[i] for i in group]))
        records = [Record(judges[id(problems[i]), models[i]]) for i in group]
        for b, record in enumerate(records):
            record.add(state, b)
        limit = face_limit(members[0], loss)
        stopped = stopped or _run(objective, state, settings, records, progress, until, keep_partial, limit)
        for i, record in zip(group, records, strict=True):
            record.ended = record.ended or Ended.interrupted
            snapshots = record.snapshots()
            method = flow_method(
                problems[i],
                models[i],
                loss,
                seed=-1 if inits is not None else numbers[i],
                scale=scale,
                rtol=rtol,
                until_margin=until_margin,
                until=until,
            )
            verdict = _verdict(problems[i], record, snapshots, settings, not stopped, keep_partial)
            out[i] = Trajectory(
                problems[i], models[i], loss, method, snapshots, verdict, record.ended, record.restart()
            )
    return Runs(out[i] for i in range(count))


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
    _check(until_margin, until, path.rtol, max_steps, path.scale)
    if path.limit is not None:
        raise InputError("resume: got a run onto faces of several tokens; expected one that ends on a token a row")
    if path.restart is None:
        raise InputError(f"resume: got a run made by {path.method.label!r}; expected one that `integrate` made")
    if not -len(path) <= snapshot < len(path):
        raise InputError(f"snapshot: got {snapshot}; expected {-len(path)} to {len(path) - 1}")
    problem = path.problem
    keep = range(len(path))[snapshot] + 1
    if keep == len(path) > 1 and path.ended is Ended.margin:
        keep -= 1
    objective = Objective.of([problem], path.parameterization, path.loss)
    state = restored_state(objective, path.snapshots, path.restart, keep - 1)
    record = Record(Judge(problem, path.parameterization, path.loss))
    record.add(state, 0)
    before = path.snapshots.first(keep)
    record.goes_on(before, objective.force(Logits(before.high, before.low)).gap.min(axis=1))
    settings = Settings(until_margin, path.rtol, max_steps)
    stopped = _run(objective, state, settings, [record], progress, until, keep_partial)
    record.ended = record.ended or Ended.interrupted
    snapshots = before.then(record.snapshots())
    if path.status is FlowStatus.minimal_loss and path.log_excess[keep - 1] < record.log_barrier:
        record.growth = 0.0
    if path.status is FlowStatus.trapped and path.margin[keep - 1] >= CLEAR:
        record.early_growth = 0.0
    verdict = _verdict(problem, record, snapshots, settings, not stopped, keep_partial)
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


def _run(
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
    try:
        if limit is None:
            run(objective, state, settings, records, progress, until == "verdict")
        else:
            run_onto_face(limit, objective, state, settings, records, progress, until == "verdict")
    except KeyboardInterrupt:
        if not keep_partial:
            raise
        return True
    return False


def _verdict(
    problem: Problem, record: Record, snapshots: Snapshots, settings: Settings, runs_beside: bool, keep_partial: bool
) -> Verdict:
    """The verdict on a run that has ended, as far as it is known to be the flow from its start.

    Without `runs_beside`, after an interruption, nothing more is integrated to know it.
    """
    judge = record.judge
    try:
        objective = objective_of([problem], judge.parameterization, judge.loss)
        said = judge(snapshots, record.ended)
        known = settled(said, objective, record, settings, runs_beside)
    except KeyboardInterrupt:
        if not keep_partial:
            raise
        record.ended = Ended.interrupted
        return Verdict(FlowStatus.undecided, Ended.interrupted.value)
    if record.ended is Ended.verdict and known.status is FlowStatus.undecided:
        record.ended = Ended.border
    return known


def _groups(
    problems: Sequence[Problem], models: Sequence[AbstractParameterization], loss: AbstractOutputLoss
) -> list[list[int]]:
    """The runs that step together: of one shape, and on one problem where its loss has faces of several tokens.

    Where tokens have values each runs alone: no two need be on the same faces.
    """
    out: list[list[int]] = []
    for group in runs_of_one_shape(problems, models):
        if problems[group[0]].values is not None:
            out += [[i] for i in group]
            continue
        apart: dict[int, list[int]] = {}
        for i in group:
            apart.setdefault(0 if face_limit(problems[i], loss) is None else id(problems[i]), []).append(i)
        out += apart.values()
    return out


def _count(problems: Sequence[Problem], many: bool, seeds: Sequence[int] | None, inits: Sequence[Any] | None) -> int:
    lengths = {len(v) for v in (seeds, inits) if v is not None}
    if many:
        lengths.add(len(problems))
    if len(lengths) != 1:
        raise InputError(
            f"integrate_many: got {sorted(lengths) or 'no'} problems, seeds and inits; expected one number of runs"
        )
    return lengths.pop()


def _seeds(seeds: Sequence[int] | None, count: int, given: bool) -> list[int]:
    if seeds is None:
        return [0] * count
    out = []
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed: got {seed!r}; expected a whole number of at least 0")
        out.append(int(seed))
    return out


def _check(
    until_margin: float,
    until: str,
    rtol: float,
    max_steps: int,
    scale: float,
) -> None:
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

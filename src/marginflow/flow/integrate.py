"""The door of the flow room: from a start to a verdict, for one run or for many at once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.flow.record import Record
from marginflow.flow.resume import resume as resume
from marginflow.flow.runner import Until, check, run_all, verdict_of
from marginflow.flow.state import Progress, Settings, first_state
from marginflow.losses import AbstractOutputLoss, parse_output_loss
from marginflow.model.face_limits import face_limit
from marginflow.model.heads import draw, map_of, sized, start
from marginflow.model.held_faces import objective_of
from marginflow.model.objective import runs_of_one_shape
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import flow_method
from marginflow.trajectory.runs import Runs
from marginflow.trajectory.trajectory import Trajectory


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
    check(until_margin, until, rtol, max_steps, scale)
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
        stopped = stopped or run_all(objective, state, settings, records, progress, until, keep_partial, limit)
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
            verdict = verdict_of(problems[i], record, snapshots, settings, not stopped, keep_partial)
            out[i] = Trajectory(
                problems[i], models[i], loss, method, snapshots, verdict, record.ended, record.restart()
            )
    return Runs(out[i] for i in range(count))


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

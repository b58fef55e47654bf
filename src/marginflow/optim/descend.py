"""The door of the room: train with the steps that people use (docs/optimisers.md)."""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.losses import EXPONENTIAL, AbstractLoss, parse_loss
from marginflow.model.face_limits import face_limit
from marginflow.model.heads import draw, sized, start, with_heads_apart
from marginflow.model.objective import Objective, runs_of_one_shape
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.registry import parse_parameterization
from marginflow.optim.decay import AbstractDecay, parse_decay
from marginflow.optim.heads import expected_norm
from marginflow.optim.loop import Loop, Progress as Progress, Recipe
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.rate import AbstractRate, Speed, parse_rate
from marginflow.optim.registry import command_of, parse_optimiser
from marginflow.optim.setting import Setting
from marginflow.optim.verdict import judge_steps
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.trajectory.method import Method, command_words
from marginflow.trajectory.runs import Runs
from marginflow.trajectory.trajectory import Trajectory


def descend(
    problem: Problem | str,
    parameterization: AbstractParameterization | str,
    optimizer: AbstractOptimiser | str = "gd",
    *,
    rate: AbstractRate | float | str = Speed(0.03),
    decay: AbstractDecay | str | None = None,
    iterations: int = 10_000,
    until_margin: float = math.inf,
    batch: int | None = None,
    seed: int = 0,
    scale: float = 0.1,
    init: Any = None,
    loss: str | AbstractLoss | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep_partial: bool = False,
) -> Trajectory:
    """Train by discrete steps; the trajectory keeps the mean force between its snapshots.

    The direction of the gradient is exact at any margin and its size a logarithm, as are the sizes of all buffers:
    nothing underflows. A part of the force below e^-745 of the largest counts as 0. Of several heads each has arrays of
    its own: a rule that treats array by array takes every head by itself.

    Args:
        problem: data; or what `load` takes.
        parameterization: what is trained; or its word.
        optimizer: the rule; or its word, such as adam:b1=0.9,b2=0.95,eps=0.
        rate: a number, `Power(eta, a)` or `Speed(rho)`, with which the margin grows rho a step; or their words.
        decay: `L2(lam)`, `Decoupled(lam)` or None; or their words.
        iterations: >= 1, steps at most.
        until_margin: stop at the first iterate of this margin.
        batch: samples drawn without replacement for each step, from the seed; None for all.
        seed, scale: of the start, entries `scale` times standard normal.
        init: the arrays to start from instead, by name or in order.
        loss: of each sample, or its word; the exponential one for None.
        progress: called now and then.
        keep_partial: return what there is on KeyboardInterrupt, instead of raising it.

    Raises:
        InputError: an option that cannot be used. UndefinedError: diagonal weights on tokens and queries of different
            dimensions. KeyboardInterrupt: unless `keep_partial`.
    """
    return descend_many(
        problem,
        parameterization,
        optimizer,
        seeds=[seed],
        inits=None if init is None else [init],
        rate=rate,
        decay=decay,
        iterations=iterations,
        until_margin=until_margin,
        batch=batch,
        scale=scale,
        loss=loss,
        progress=progress,
        keep_partial=keep_partial,
    )[0]


@one_thread()
def descend_many(
    problems: Problem | str | Sequence[Problem | str],
    parameterization: AbstractParameterization | str,
    optimizer: AbstractOptimiser | str = "gd",
    *,
    seeds: Sequence[int] | None = None,
    inits: Sequence[Any] | None = None,
    rate: AbstractRate | float | str = Speed(0.03),
    decay: AbstractDecay | str | None = None,
    iterations: int = 10_000,
    until_margin: float = math.inf,
    batch: int | None = None,
    scale: float = 0.1,
    loss: str | AbstractLoss | None = None,
    progress: Callable[[Progress], None] | None = None,
    keep_partial: bool = False,
) -> Runs:
    """Many runs together: one problem with many starts, or one start for each of many problems.

    Args:
        problems: one, or as many as there are seeds and inits.
        seeds, inits: one for each run; seed 0 where neither is given. With inits, seeds are those of mini-batches.
        parameterization, optimizer, rate, decay, iterations, until_margin: as for `descend`, shared by all.
        batch, scale, loss, progress, keep_partial: as for `descend`, shared by all.

    Returns:
        The trajectories, in order; each is what `descend` returns for it, to rounding: products of a batch are added
        up in another order, so that only a single run repeats its command to the same bits.

    Raises:
        InputError, UndefinedError, KeyboardInterrupt: as `descend`; different numbers of problems, seeds and inits.
    """
    rule, rate, decay, loss = parse_optimiser(optimizer), parse_rate(rate), parse_decay(decay), parse_loss(loss)
    kind = parse_parameterization(parameterization)
    one = isinstance(problems, Problem | str)
    given = [as_problem(p) for p in ([problems] if one else problems)]  # type: ignore[union-attr]
    for p in given:
        _need_a_token_a_row(p, loss)
    count = _count(None if one else len(given), seeds, inits)
    given = given * count if one else given
    numbers = [0] * count if seeds is None else [_whole("seed", x, 0) for x in seeds]
    _check(iterations, until_margin, scale, batch, min(p.counts[0] for p in given))
    models, starts = [], []
    for i, p in enumerate(given):
        init = None if inits is None else inits[i]
        model = sized(kind, p, init)
        if rule.matrices:
            _need_matrices(rule.word, model.shapes(p.d, p.d_z))
        drawn = draw(model, p, np.random.default_rng(numbers[i]), scale) if init is None else init
        models.append(model)
        starts.append(start(model, p, drawn))
    out: dict[int, Trajectory] = {}
    for group in runs_of_one_shape(given, models):
        members = [given[i] for i in group]
        shared = all(p is members[0] for p in members)
        objective = Objective.of(members[:1] if shared else members, models[group[0]], loss)
        arrays = {n: np.stack([starts[i][n] for i in group]) for n in starts[group[0]]}
        lift, arrays = with_heads_apart(objective.map, arrays)
        draws = None if batch is None else [np.random.default_rng([numbers[i], 1]) for i in group]
        recipe = Recipe(models[group[0]], rule, rate, decay, iterations, until_margin, batch)
        loop = Loop(replace(objective, map=lift), arrays, recipe, draws)
        try:
            loop.go(progress)
        except KeyboardInterrupt:
            # Of several groups, those that were not begun have nothing to show.
            if not keep_partial or len(out) + len(group) < count:
                raise
            loop.interrupt()
        for i, run in zip(group, loop.runs, strict=True):
            setting = Setting(given[i], models[i], rate, decay, iterations, batch)
            seed = -1 if inits is not None else numbers[i]
            method = _method(setting, rule, loss, seed, scale, until_margin)
            verdict = judge_steps(given[i], loss, run.snapshots, run.ended, method.norm)
            out[i] = Trajectory(given[i], models[i], loss, method, run.snapshots, verdict, run.ended)
    return Runs(out[i] for i in range(count))


def _method(
    setting: Setting, rule: AbstractOptimiser, loss: AbstractLoss, seed: int, scale: float, until_margin: float
) -> Method:
    """How the run was made, with the norm expected and the command that repeats it."""
    expected = expected_norm(rule, setting)
    optimiser = command_of(rule)
    options: dict[str, Any] = {
        "seed": seed,
        "scale": float(scale),
        "until_margin": float(until_margin) if math.isfinite(until_margin) else None,
        "optimizer": optimiser,
        "rate": setting.rate.command,
        "decay": None if setting.decay is None else setting.decay.command,
        "iterations": setting.iterations,
        "batch": setting.batch,
    }
    words = command_words("descend", setting.problem, setting.parameterization, options)
    words += ["--optimizer", optimiser, "--rate", options["rate"], "--iterations", str(setting.iterations)]
    words += ["--decay", options["decay"]] if options["decay"] else []
    words += ["--batch", str(setting.batch)] if setting.batch is not None else []
    words += ["--loss", loss.word] if loss != EXPONENTIAL else []
    label = f"{rule.label}, rate {options['rate']}" + (f", decay {options['decay']}" if options["decay"] else "")
    return Method("descend", expected.norm, expected.why, label, shlex.join(words), options)


def _count(problems: int | None, seeds: Sequence[int] | None, inits: Sequence[Any] | None) -> int:
    lengths = {len(v) for v in (seeds, inits) if v is not None} | ({problems} if problems is not None else set())
    if len(lengths) > 1 or lengths == {0}:
        raise InputError(
            f"descend_many: got {sorted(lengths)} problems, seeds and inits; expected one number of runs, at least 1"
        )
    return lengths.pop() if lengths else 1


def _need_a_token_a_row(problem: Problem, loss: AbstractLoss) -> None:
    if problem.values is not None:
        raise InputError("descend: got a problem whose tokens have values; expected scores")
    if face_limit(problem, loss) is not None:
        raise InputError(
            f"descend: got loss {loss.word}, whose optimum keeps several tokens of a row (marginflow.faces says "
            "which); expected a loss that ends on one token a row; `integrate` follows this one"
        )


def _need_matrices(word: str, shapes: dict[str, tuple[int, ...]]) -> None:
    vectors = [f"{name} {shape}" for name, shape in shapes.items() if len(shape) != 2]
    if vectors:
        raise InputError(
            f"optimizer {word}: got {', '.join(vectors)}; expected matrices (w or kq); use sign for vectors"
        )


def _whole(what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{what}: got {value!r}; expected a whole number of at least {least}")
    return int(value)


def _check(iterations: Any, until_margin: Any, scale: Any, batch: Any, samples: int) -> None:
    _whole("iterations", iterations, 1)
    if not (isinstance(until_margin, int | float | np.number) and until_margin > 0):
        raise InputError(f"until_margin: got {until_margin!r}; expected a positive number")
    if not (isinstance(scale, int | float | np.number) and 0.0 <= scale <= 1e10):
        raise InputError(f"scale: got {scale!r}; expected a number between 0 and 1e10")
    if batch is not None and _whole("batch", batch, 1) > samples:
        raise InputError(f"batch: got {batch}; expected at most {samples}, one for each output of the problem")

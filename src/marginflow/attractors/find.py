"""The door: every place where training can end, before any training."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.one_head import Effort, Progress, search
from marginflow.attractors.parts import Engine, Kept
from marginflow.attractors.product import EndsOfHeads
from marginflow.attractors.question import Question
from marginflow.attractors.sampled_ends import Starts
from marginflow.attractors.several_heads import ends_of_heads
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, parse_loss
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem


def attractors(
    problem: Problem | str,
    parameterization: AbstractParameterization | str,
    *,
    sample: int | None = None,
    scales: Sequence[float] = (0.1,),
    seed: int = 0,
    tol: float = 1e-9,
    limit: int | None = None,
    until_margin: float = 1e8,
    loss: str | AbstractLoss | None = None,
    processes: int = 1,
    engine: Engine | None = None,
    keep: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Attractors | EndsOfHeads:
    """List the selections of tokens where the flow can end (rule, proof and gaps: docs/attractors.md).

    Args:
        problem: tokens, queries and scores, or what `load` takes.
        parameterization: `KeyQuery(width)`, `Combined()`, `DiagonalKeyQuery()`, `Diagonal()`, or its word
            kq, w, diag-kq, diag (kq then has full width).
        sample: integrate this many starts at each of `scales` and count where they end; none when None.
        scales, seed: standard deviations and first seed of the sampled starts.
        tol: certified relative gap of each SVM.
        until_margin: where the tokens of a sampled run are read; factored weights leave bad ones slowly.
        loss: of which the ends' excess is told and with which sampled runs are trained.
        limit: partial selections to look at before the search is given up as incomplete; by default 3e7
            for the Euclidean norms and 5e5 for the others, whose steps cost more (1e5 for l2 where constraints
            are dependent: each costs a proof of separability). No search is begun that has no chance.
        processes: share a large search among this many processes.
        engine: runs the parts of the search instead, such as `marginflow.study.engines.choose.make_engine("dask")`;
            what is found and counted is the same on every engine.
        keep: an .npz file in which finished parts are kept, so that the same call goes on after Ctrl-C.
        progress: called with a text.

    Returns:
        The ends, what could not be decided, and why the list may be incomplete. With several heads, or outputs of
        several rows, each head's own list and their product.

    Raises:
        InputError: an option that cannot be used, a file that keeps something else, an engine that cannot work; tokens
            with values, or a loss that is infinite on some selection, for which the rule is not derived.
        UndefinedError: diagonal weights for tokens and queries of different dimensions.
    """
    problem = as_problem(problem)
    model = parse_parameterization(parameterization).sized(problem.d, problem.d_z)
    if processes < 1:
        raise InputError(f"processes: got {processes}; expected at least 1")
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise InputError(f"limit: got {limit!r}; expected a whole number of at least 1, or None for what is usual")
    starts = Starts.checked(sample, scales, seed, until_margin)
    question = Question(problem, model, _rule_loss(problem, loss))
    effort = Effort(tol, limit, processes, engine, Kept(None if keep is None else Path(keep)), progress)
    if not problem.plain:
        return ends_of_heads(question, effort, starts)
    searched = search(question, effort)
    for scale, path in starts.runs(question, progress):
        searched.ends.meet(path.selected(-1), scale, path.parameters(-1))
    return searched.listed(starts)


def _rule_loss(problem: Problem, loss: str | AbstractLoss | None) -> AbstractLoss:
    """The loss, if the rule of docs/attractors.md is about it."""
    if problem.values is not None:
        raise InputError(
            f"attractors: got {problem!r}; expected scores: which tokens attract is not derived for values, where the "
            "sign of a pull depends on the other tokens; mf.faces lists what the least loss keeps"
        )
    loss = parse_loss(loss)
    loss.check(problem)
    if loss.of_log:
        lowest = np.where(problem.mask, problem.scores, np.inf).min(axis=1)
        if not (np.bincount(problem.output, lowest) > 0.0).all():
            raise InputError(
                f"attractors: got loss {loss.word} with scores of 0, where it is infinite; expected positive scores: "
                "the rule needs a loss that is finite on every selection; mf.faces lists what the least loss keeps"
            )
    return loss

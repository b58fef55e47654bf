"""`faces`: the tokens that share each row's optimum, found before a step is taken (theory 10)."""

import numpy as np

from marginflow.arrays import frozen
from marginflow.blas import one_thread
from marginflow.losses import AbstractLoss, AbstractOutputLoss, Log, parse_output_loss
from marginflow.optimal_attention.by_graph import faces_by_graph, is_choice
from marginflow.optimal_attention.by_output import faces_by_output
from marginflow.problem.faces import Faces
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem


@one_thread()
def faces(problem: Problem | str, loss: str | AbstractOutputLoss | None = None) -> Faces:
    """The face of every row: the tokens that attention ends on, with their shares, before training.

    Three cases. A decreasing loss of scores wants the optimal token of each row. The log loss with one scored kind of
    token per row (next-token prediction) is convex in W; rows that share a query and contradict each other settle
    between them, in the strongly connected components of the token-priority graph (arXiv 2403.08081). A loss of values
    is convex in the output, and each output has its own convex programme over the shares of its rows.

    Args:
        problem: the problem, or what `load` takes.
        loss: a loss or its word; exponential when None.

    Returns:
        Members, shares, whether they are unique and proved, the least loss with a gap, and the finite part of W.

    Raises:
        InputError: no such loss, or a problem that does not say what the loss needs.
    """
    problem, chosen = as_problem(problem), parse_output_loss(loss)
    chosen.check(problem)
    if isinstance(chosen, Log) and is_choice(problem):
        return faces_by_graph(problem, chosen)
    if isinstance(chosen, AbstractLoss):
        return _selected(problem, chosen)
    return faces_by_output(problem, chosen)


def _selected(problem: Problem, loss: AbstractLoss) -> Faces:
    """A face of one token a row: the optimal one, and exact duplicates of it, which no W tells apart."""
    rows = np.arange(problem.n)
    best = problem.scores == problem.scores[rows, problem.optimal][:, None]
    same = problem.mask & (problem.X == problem.X[rows, problem.optimal][:, None, :]).all(axis=2)
    members, worse = same & best, (same & ~best).any(axis=1)
    each = loss.value(problem.best_outputs[:, None])
    shape = (problem.d, problem.d_z) if problem.counts[1] == 1 else (problem.counts[1], problem.d, problem.d_z)
    return Faces(
        members=frozen(members),
        shares=frozen(members / members.sum(axis=1, keepdims=True)),
        unique=frozen(np.ones(problem.n, dtype=bool)),
        decided=frozen(np.ones(problem.n, dtype=bool)),
        gap=4.0
        * float(np.finfo(float).eps)
        * (problem.n + 8)
        * float(np.abs(each).mean() + _slope_doubt(problem, loss)),
        minimal_loss=float(each.mean()),
        shares_error=frozen(np.zeros(problem.n)),
        attainable=not worse.any(),
        reference=problem.optimal,
        finite=None if worse.any() else frozen(np.zeros(shape)),
        finite_decrement=np.nan if worse.any() else 0.0,
        loss=loss.word,
        reason=f"a token of sample {int(worse.argmax())} equals the optimal one but for its score: no W parts them, so "
        "that the least loss is above what the optimal tokens give"
        if worse.any()
        else "",
    )


def _slope_doubt(problem: Problem, loss: AbstractLoss) -> float:
    """How much the rounding of the outputs may change the mean loss, in units of rounding."""
    u = problem.best_outputs
    size = np.bincount(problem.output, np.abs(problem.scores[np.arange(problem.n), problem.optimal]))
    return float((np.exp(loss.log_slope(u)) * size).mean())

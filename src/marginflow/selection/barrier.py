"""The excess below which the flow cannot but reach the minimal loss (theorem in docs/flow.md 7)."""

import numpy as np

from marginflow.losses import AbstractLoss
from marginflow.model.outputs import Outputs
from marginflow.problem.problem import Problem


def log_barrier(problem: Problem, loss: AbstractLoss) -> float:
    """log of an excess below which the flow cannot but reach the minimal loss (derived in docs/flow.md).

    An excess below (1/m) (l(u - kappa D) - l(u)) for every row, with u the best that its output can be (the sum of the
    best scores of its rows), D the row's least score gap and kappa = 1/(4 copies of the optimal token), keeps every
    optimal token in the lead and every constraint pulling; the loss cannot rise, so this lasts, and the excess goes
    to 0. The theorem asks for a convex loss: for another one the answer is -inf, which no excess is below.
    """
    if not loss.convex:
        return -np.inf
    rows = np.arange(problem.n)
    best = problem.scores[rows, problem.optimal]
    behind = problem.mask & (problem.scores < best[:, None])
    copies = (problem.mask & ~behind).sum(axis=1)
    gap = np.where(behind, best[:, None] - problem.scores, np.inf).min(axis=1)
    delta = gap / (4.0 * copies)
    outputs = Outputs(problem.output)
    u = outputs.spread(outputs.sum(best))
    gain = loss.log_gain(u, np.log(np.expm1(np.minimum(delta, 700.0))), np.zeros_like(u))
    return float(gain.min() - np.log(outputs.m))

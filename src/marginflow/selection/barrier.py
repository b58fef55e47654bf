"""The excess below which the flow cannot but reach the minimal loss (theorem in docs/flow.md 7)."""

import numpy as np

from marginflow.losses import AbstractLoss
from marginflow.problem.problem import Problem


def log_barrier(problem: Problem, loss: AbstractLoss) -> float:
    """log of an excess below which the flow cannot but reach the minimal loss (derived in docs/flow.md).

    An excess below (1/n) (l(gamma_o - kappa D) - l(gamma_o)) for every sample, with D its least score gap and
    kappa = 1/(4 copies of the optimal token), keeps every optimal token in the lead and every constraint
    pulling; the loss cannot rise, so this lasts, and the excess goes to 0. The theorem asks for a convex loss:
    for another one the answer is -inf, which no excess is below.
    """
    if not loss.convex:
        return -np.inf
    rows = np.arange(problem.n)
    best = problem.scores[rows, problem.optimal]
    behind = problem.mask & (problem.scores < best[:, None])
    copies = (problem.mask & ~behind).sum(axis=1)
    gap = np.where(behind, best[:, None] - problem.scores, np.inf).min(axis=1)
    delta = gap / (4.0 * copies)
    gain = loss.log_gain(best, np.log(np.expm1(np.minimum(delta, 700.0))), np.zeros_like(best))
    return float(gain.min() - np.log(problem.n))

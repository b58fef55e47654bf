"""The excess below which the flow cannot but reach the minimal loss (theorem in docs/flow.md 7)."""

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.force import Loss
from marginflow.problem.problem import Problem


def log_barrier(problem: Problem, loss: Loss) -> float:
    """log of an excess below which the flow cannot but reach the minimal loss (derived in docs/flow.md).

    An excess below (1/n) (l(gamma_o - kappa D) - l(gamma_o)) for every sample, with D its least score gap and
    kappa = 1/(4 copies of the optimal token), keeps every optimal token in the lead and every constraint
    pulling; the loss cannot rise, so this lasts, and the excess goes to 0.
    """
    rows = np.arange(problem.n)
    best = problem.scores[rows, problem.optimal]
    behind = problem.mask & (problem.scores < best[:, None])
    copies = (problem.mask & ~behind).sum(axis=1)
    gap = np.where(behind, best[:, None] - problem.scores, np.inf).min(axis=1)
    delta = gap / (4.0 * copies)
    if loss == "exponential":
        gain = np.log(np.expm1(np.minimum(delta, 700.0))) - best
    else:
        gain = _log_logistic_gain(best, delta)
    return float(gain.min() - np.log(problem.n))


def _log_logistic_gain(gamma: Floats, delta: Floats) -> Floats:
    """log(l(gamma - delta) - l(gamma)) for l(u) = log(1 + e^-u), delta > 0."""
    inside = np.log(np.expm1(np.minimum(delta, 700.0))) - np.logaddexp(0.0, gamma)
    small = inside < -37.0
    return np.where(small, inside, np.log(np.maximum(np.logaddexp(0.0, inside), 1e-300)))

"""The least loss of a problem with scores."""

import numpy as np

from marginflow.losses.abstract import AbstractLoss
from marginflow.problem.problem import Problem


def log_minimal_loss(problem: Problem, loss: AbstractLoss) -> float:
    """log L*, the mean loss over outputs with all attention on the optimal tokens; nan where L* < 0.

    Raises:
        InputError: a problem with values.
    """
    each = loss.log_value(problem.best_outputs)
    return float(np.logaddexp.reduce(each) - np.log(len(each)))

"""The log loss: next-token prediction."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.losses.abstract import AbstractLoss
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class Log(AbstractLoss):
    """l(u) = -log u for u > 0. With score 1 at the label and 0 elsewhere u is the probability of the label.

    A function of log u, which only logits know where u = e^-1000: log_slope_at, log_gain_at. What `curvature` says of
    u is there said by d log(-l') / d log u = -1. With q_l = p_l gamma_l / u the pull on a logit is q_l - p_l.
    """

    word: str = field(default="log", init=False)
    convex: bool = field(default=True, init=False)
    of_log: bool = field(default=True, init=False)

    def log_value(self, u: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(-np.log(u)))

    def log_slope(self, u: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(u))

    def curvature(self, u: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / u)

    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        # l(u - delta) - l(u) = -log(1 - delta/u), infinite from delta = u on.
        inside = log_expm1 - np.log(u)
        with np.errstate(divide="ignore"):
            share = np.minimum(np.logaddexp(0.0, log_expm1 + offset) / u, 1.0)
            exact = np.log(np.maximum(-np.log1p(-share), 1e-300)) - offset
        return np.asarray(np.where(log_expm1 + offset < -37.0 + np.minimum(np.log(u), 0.0), inside, exact))

    def log_slope_at(self, log_u: Floats) -> Floats:
        return -log_u

    def curvature_at(self, log_u: Floats) -> Floats:
        return np.ones_like(log_u)

    def value_at(self, log_u: Floats) -> Floats:
        return -log_u

    def log_gain_at(self, log_best: Floats, log_u: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(log_best - log_u))

    def value(self, u: Floats, labels: Ints | Floats | None = None) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(u[..., 0]))

    def check(self, problem: Problem) -> None:
        super().check(problem)
        low = problem.mask & (problem.scores < 0.0)
        if low.any():
            i, token = map(int, np.argwhere(low)[0])
            raise InputError(
                f"loss log: got score {problem.scores[i, token]:g} for token {token} of sample {i}; expected scores "
                ">= 0, such as 1 at the label and 0 elsewhere"
            )
        absent = problem.best_outputs <= 0.0
        if absent.any():
            o = int(np.flatnonzero(absent)[0])
            rows = np.flatnonzero(problem.output == o).tolist()
            raise InputError(
                f"loss log: got no token of positive score in sample {', '.join(map(str, rows))}: a label that is "
                "absent from its row, whose loss is infinite whatever the weights; drop it"
            )

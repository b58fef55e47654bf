"""The linear loss."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.losses.abstract import AbstractLoss


@dataclass(frozen=True)
class Linear(AbstractLoss):
    """l(u) = -u: every sample pulls equally hard, however well it does. It has no logarithm where u > 0."""

    word: str = field(default="linear", init=False)
    convex: bool = field(default=True, init=False)

    def log_value(self, u: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(-np.asarray(u, dtype=np.float64)))

    def log_slope(self, u: Floats) -> Floats:
        return np.zeros_like(u)

    def curvature(self, u: Floats) -> Floats:
        return np.zeros_like(u)

    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        # The difference is delta = log(1 + e^log_expm1).
        total = log_expm1 + offset
        exact = np.log(np.maximum(np.logaddexp(0.0, total), 1e-300)) - offset
        return np.asarray(np.where(total < -37.0, log_expm1, exact) + np.zeros_like(u))

    def value(self, u: Floats, labels: Ints | Floats | None = None) -> Floats:
        return np.asarray(-u[..., 0])

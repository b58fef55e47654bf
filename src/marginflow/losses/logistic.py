"""The logistic loss."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats
from marginflow.losses.abstract import AbstractLoss


@dataclass(frozen=True)
class Logistic(AbstractLoss):
    """l(u) = log(1 + e^-u)."""

    word: str = field(default="logistic", init=False)
    convex: bool = field(default=True, init=False)

    def log_value(self, u: Floats) -> Floats:
        # log l -> -u as l -> e^-u: the logarithm of a number below 1e-300 is never taken.
        return np.where(u > 37.0, -u, np.log(np.logaddexp(0.0, -np.minimum(u, 37.0))))

    def log_slope(self, u: Floats) -> Floats:
        return -np.logaddexp(0.0, u)

    def curvature(self, u: Floats) -> Floats:
        return np.exp(-np.logaddexp(0.0, -u))

    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        inside = log_expm1 - np.logaddexp(0.0, u)
        # The difference is log(1 + (e^delta - 1) / (1 + e^u)).
        small = inside + offset < -37.0
        exact = np.log(np.maximum(np.logaddexp(0.0, inside + offset), 1e-300)) - offset
        return np.asarray(np.where(small, inside, exact))

"""The exponential loss."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats
from marginflow.losses.abstract import AbstractLoss


@dataclass(frozen=True)
class Exponential(AbstractLoss):
    """l(u) = e^-u, the loss of the paper."""

    word: str = field(default="exponential", init=False)
    convex: bool = field(default=True, init=False)

    def log_value(self, u: Floats) -> Floats:
        return -u

    def log_slope(self, u: Floats) -> Floats:
        return -u

    def curvature(self, u: Floats) -> Floats:
        return np.ones(np.shape(u))

    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        return log_expm1 - u

"""Lion: the sign of a mean of the gradient and a slower buffer (Chen et al., arXiv 2302.06675, algorithm 2)."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.momentum import check_beta, forgetting
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled
from marginflow.optim.setting import Setting
from marginflow.optim.threshold import Threshold


@dataclass(frozen=True)
class Lion(AbstractOptimiser):
    """theta <- theta - rate sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g; its decay is `Decoupled`."""

    betas: tuple[float, float] = (0.9, 0.99)
    word: str = field(default="lion", init=False)

    def __post_init__(self) -> None:
        for name, beta in zip(("b1", "b2"), self.betas, strict=True):
            check_beta(f"lion {name}", beta)

    @property
    def label(self) -> str:
        """Lion and its two numbers."""
        return f"Lion, betas {self.betas[0]:g}, {self.betas[1]:g}"

    @property
    def ball(self) -> AbstractGeometry:
        return GEOMETRIES["sign"]

    def init(self, arrays: Arrays) -> Any:
        return Scaled.zero(arrays)

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        b1, b2 = self.betas
        mixed = state.plus(pull, b1, 1.0 - b1)
        direction = Scaled(self.ball.direction(mixed.arrays), np.zeros(len(pull.log)))
        return direction, state.plus(pull, b2, 1.0 - b2)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The speed above which its buffer never forgets."""
        b2 = self.betas[1]
        return (Threshold("speed", math.log(1.0 / b2), f"log(1/b2) of Lion, b2 {b2:g}"),) if b2 else ()

    def log_size(self, direction: Scaled) -> Floats:
        return np.zeros(len(direction.log))

    def norm(self, setting: Setting) -> Prediction:
        """That of sign descent, if its buffer forgets."""
        expected = self.ball.norm(setting.parameterization)
        if expected.norm is not None and self.betas[0] > 0.0 and self.betas[1] > 0.0:
            expected = forgetting(expected, setting, False, self.betas[1], "b2")
        return with_decay_and_batch(expected, setting, linear=False)

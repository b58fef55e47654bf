"""Steps of fixed size in the steepest direction of a norm: NGD, sign descent, exact Muon, NucGD, coordinate descent."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.momentum import Momentum, check_beta
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled
from marginflow.optim.setting import Setting
from marginflow.optim.threshold import Threshold


@dataclass(frozen=True)
class Steepest(AbstractOptimiser):
    """theta <- theta + rate dir(buffer), buffer = momentum buffer - g, dir the steepest direction of the norm."""

    geometry: str = "euclidean"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise InputError(f"Steepest: got {self.geometry!r}; expected one of {', '.join(GEOMETRIES)}")
        check_beta(f"{self.word} momentum", self.momentum)

    @property
    def word(self) -> str:  # type: ignore[override]
        """That of its norm: ngd, ngd-separate, sign, spectral, nuclear, coordinate."""
        return self.ball.command

    @property
    def ball(self) -> AbstractGeometry:
        return GEOMETRIES[self.geometry]

    @property
    def label(self) -> str:
        """Its geometry, with what it remembers."""
        kept = f", {'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}" if self.momentum else ""
        return f"{self.geometry} steepest descent{kept}"

    def init(self, arrays: Arrays) -> Any:
        return self._momentum.init(arrays)

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        made_of, state = self._momentum.update(state, pull)
        return Scaled(self.ball.direction(made_of.arrays), np.zeros(len(pull.log))), state

    def log_size(self, direction: Scaled) -> Floats:
        return np.zeros(len(direction.log))

    def norm(self, setting: Setting) -> Prediction:
        """That of its geometry, if momentum forgets."""
        expected = self.ball.norm(setting.parameterization)
        narrow = setting.parameterization.too_narrow(setting.problem.d, setting.problem.d_z, None)
        if narrow and expected.norm == "operator":
            expected = expected.but("K and Q may be narrower than the optimum: capped in rank, it is not convex")
        expected = self._momentum.threshold(expected, setting, self.ball.joint)
        return with_decay_and_batch(expected, setting, linear=self.ball.joint)

    @property
    def matrices(self) -> bool:  # type: ignore[override]
        """Whether its norm is one of matrices."""
        return self.ball.matrices

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """That of its momentum."""
        return self._momentum.thresholds

    @property
    def _momentum(self) -> Momentum:
        return Momentum(self.momentum, self.nesterov)

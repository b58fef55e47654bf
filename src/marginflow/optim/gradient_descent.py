"""Gradient descent, with momentum or Nesterov's: torch.optim.SGD without dampening."""

from dataclasses import dataclass, field
from typing import Any

from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.momentum import Momentum, check_beta
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.rate import Speed
from marginflow.optim.scaled import Scaled
from marginflow.optim.setting import Setting


@dataclass(frozen=True)
class GradientDescent(AbstractOptimiser):
    """theta <- theta - rate buffer, buffer = momentum buffer + g (torch.optim.SGD)."""

    momentum: float = 0.0
    nesterov: bool = False
    word: str = field(default="gd", init=False)

    def __post_init__(self) -> None:
        check_beta("gd momentum", self.momentum)

    @property
    def label(self) -> str:
        """Gradient descent, with what it remembers."""
        if not self.momentum:
            return "gradient descent"
        return f"gradient descent, {'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}"

    def init(self, arrays: Arrays) -> Any:
        return self._momentum.init(arrays)

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        return self._momentum.update(state, pull)

    def norm(self, setting: Setting) -> Prediction:
        """That of the flow: at a given rate steps vanish with the gradient, so that momentum only changes the clock."""
        parameterization = setting.parameterization
        expected = Prediction(
            parameterization.flow_norm, f"gradient descent of {parameterization.label} follows the flow"
        )
        if isinstance(setting.rate, Speed):
            expected = self._momentum.threshold(expected, setting, True)
        return with_decay_and_batch(expected, setting, linear=True)

    @property
    def _momentum(self) -> Momentum:
        return Momentum(self.momentum, self.nesterov)

"""A buffer of past gradients: its recursion, and the speed above which it never forgets them."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled
from marginflow.optim.threshold import Threshold


if TYPE_CHECKING:
    from marginflow.optim.setting import Setting


@dataclass(frozen=True)
class Momentum:
    """buffer <- beta buffer + g; the step is made of the buffer, or of g + beta buffer (Nesterov).

    The recursion is that of torch.optim.SGD; averages (1 - beta) g + beta buffer give the same direction.
    """

    beta: float
    nesterov: bool

    def init(self, arrays: Arrays) -> Scaled | None:
        """Nothing, or an empty buffer."""
        return Scaled.zero(arrays) if self.beta else None

    def update(self, buffer: Scaled | None, pull: Scaled) -> tuple[Scaled, Scaled | None]:
        """What the step is made of, and the buffer."""
        if buffer is None:
            return pull, None
        buffer = buffer.plus(pull, self.beta, 1.0)
        return (pull.plus(buffer, 1.0, self.beta) if self.nesterov else buffer), buffer

    def threshold(self, expected: Prediction, setting: "Setting", joint: bool) -> Prediction:
        """`expected`, unless the margin grows faster than the buffer forgets (docs/optimisers.md).

        At a speed rho > log(1/beta) old gradients outweigh new ones for ever, so the direction freezes.
        """
        if not self.beta or expected.norm is None:
            return expected
        return forgetting(expected, setting, joint, self.beta)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The speed above which it never forgets."""
        if not self.beta:
            return ()
        return (Threshold("speed", math.log(1.0 / self.beta), f"log(1/beta) of momentum {self.beta:g}"),)


def forgetting(expected: Prediction, setting: "Setting", joint: bool, beta: float, name: str = "beta") -> Prediction:
    """`expected` if x = speed / log(1/beta) is below 1, with that number."""
    limit = math.log(1.0 / beta)
    assert expected.norm is not None
    gamma = setting.gamma(expected.norm)
    if gamma is None:
        why = setting.unsolved(expected.norm)
        return expected.but(f"whether momentum forgets depends on the {expected.norm} margin, and {why}")
    speed = setting.speed(gamma, joint)
    x = speed / limit
    if math.isinf(speed):
        return expected.but(
            f"x = speed / log(1/{name}) grows without bound: at this rate the margin of "
            f"{setting.parameterization.label} grows by more each step, past the log(1/{name}) = {limit:.4g} that the "
            "buffer forgets; expected is a frozen direction; use speed:RHO below it, or a rate of power above 1/2"
        )
    if x >= 1.0:
        return expected.but(
            f"x = {x:.4g}, the margin's growth of {speed:.4g} a step over log(1/{name}) = {limit:.4g}, is not below "
            f"1 (gamma = {gamma:.9g} certified): old gradients outweigh new ones for ever and the direction freezes"
        )
    return Prediction(
        expected.norm, f"{expected.why}; momentum forgets, x = {x:.4g} < 1 (gamma = {gamma:.9g} certified)"
    )


def check_beta(what: str, beta: float) -> None:
    """Refuse what is no memory (InputError)."""
    if not 0.0 <= beta < 1.0:
        raise InputError(f"{what}: got {beta!r}; expected at least 0 and below 1")

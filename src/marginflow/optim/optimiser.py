"""What an optimiser is: buffers, a direction from the pull of the loss, and what is expected of it."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from marginflow.arrays import Floats
from marginflow.model.parameterization import Arrays
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled, safe_log
from marginflow.optim.threshold import Threshold


if TYPE_CHECKING:
    from marginflow.optim.setting import Setting


class AbstractOptimiser(ABC):
    """A rule for a batch of runs; every array has the runs as its first axis.

    `pull` is minus the gradient, exact in direction at any margin: a rule g -> step of a paper is used as
    step(-pull) with the sign turned, which for the odd rules here is the same formula. A rule must not depend on the
    other runs of its batch. Derived classes are frozen dataclasses whose fields are numbers, words or, under the
    name `betas`, a pair of numbers (`b1`, `b2` on the command line); `mf.register` makes them known by `word`.

    Attributes:
        word: what the command line and files call it.
        matrices: trains matrices only.
    """

    word: str
    matrices: bool = False

    @abstractmethod
    def init(self, arrays: Arrays) -> Any:
        """The buffers at the start."""

    @abstractmethod
    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        """The direction of the next step and the buffers after it.

        Args:
            state: the buffers, as `init` or the last call made them.
            pull: minus the gradient (decay of kind L2 included).
            arrays: the trained arrays.
        """

    @property
    def ball(self) -> AbstractGeometry:
        """The norm in which its step without memory is (about) the steepest; `Speed` measures steps in it."""
        return GEOMETRIES["euclidean"]

    @property
    def label(self) -> str:
        """In a few words, for people."""
        return self.word

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Where that stops to hold, for pictures."""
        return ()

    def log_size(self, direction: Scaled) -> Floats:
        """(B,) log of the size of a direction in `ball`."""
        return direction.log + safe_log(self.ball.size(direction.arrays))

    def move(self, arrays: Arrays, direction: Scaled, log_rate: Floats) -> Arrays:
        """The arrays after a step of that rate."""
        step = direction.plain(log_rate)
        return {n: x + step[n] for n, x in arrays.items()}

    def rate_for(self, log_growth: Floats, pull: Scaled, arrays: Arrays) -> Floats | None:
        """(B,) log of the rate whose step adds e^log_growth to <pull.arrays, theta>; None where `move` is linear."""
        return None

    def norm(self, setting: "Setting") -> Prediction:
        """The norm of W that it is expected to minimise in this setting."""
        return Prediction(None, f"nothing is derived for the optimiser {self.word}")

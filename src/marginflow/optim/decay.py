"""Weight decay: in the gradient (L2) or beside the step (decoupled)."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.scaled import Scaled, batch, spread


class AbstractDecay(ABC):
    """What pulls the arrays to 0."""

    lam: float

    @property
    @abstractmethod
    def command(self) -> str:
        """As on the command line."""

    def pull(self, pull: Scaled, arrays: Arrays) -> Scaled:
        """Minus the gradient that the rule sees."""
        return pull

    def shrink(self, arrays: Arrays, log_rate: Floats) -> Arrays:
        """The arrays from which the step is taken."""
        return arrays


@dataclass(frozen=True)
class L2(AbstractDecay):
    """(lam/2) |theta|^2 is part of the loss: the gradient holds lam theta, as `weight_decay` of torch.optim.SGD."""

    lam: float

    def __post_init__(self) -> None:
        _check(self.lam)

    @property
    def command(self) -> str:
        return f"l2:{float(self.lam)!r}"

    def pull(self, pull: Scaled, arrays: Arrays) -> Scaled:
        back = Scaled({n: -x for n, x in arrays.items()}, np.zeros(batch(arrays)))
        return pull.plus(back, 1.0, self.lam)


@dataclass(frozen=True)
class Decoupled(AbstractDecay):
    """theta <- (1 - rate lam) theta before each step, as torch.optim.AdamW and Muon (arXiv 1711.05101)."""

    lam: float

    def __post_init__(self) -> None:
        _check(self.lam)

    @property
    def command(self) -> str:
        return f"decoupled:{float(self.lam)!r}"

    def shrink(self, arrays: Arrays, log_rate: Floats) -> Arrays:
        keep = 1.0 - np.exp(np.minimum(log_rate, 700.0)) * self.lam
        return {n: spread(keep, x) * x for n, x in arrays.items()}


def parse_decay(decay: Any) -> AbstractDecay | None:
    """The decay meant by l2:LAM, decoupled:LAM, None or an object.

    Raises:
        InputError: none of these, or a number that is not positive.
    """
    if decay is None or isinstance(decay, AbstractDecay):
        return decay
    if isinstance(decay, str):
        word, _, rest = decay.partition(":")
        kind = {"l2": L2, "decoupled": Decoupled}.get(word)
        if kind is not None:
            try:
                return kind(float(rest))
            except ValueError as error:
                if isinstance(error, InputError):
                    raise
    raise InputError(f"decay: got {decay!r}; expected l2:LAM, decoupled:LAM, L2(lam), Decoupled(lam) or none")


def _check(lam: float) -> None:
    if not (isinstance(lam, int | float | np.number) and 0.0 < lam < math.inf):
        raise InputError(f"decay: got {lam!r}; expected a positive number, or no decay at all")

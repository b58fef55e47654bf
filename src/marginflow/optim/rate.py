"""The rate of each step: constant, a power of the iteration, or such that the margin grows by the same each step."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.objective import Objective
from marginflow.model.parameterization import Arrays
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.plain_force import Pulled
from marginflow.optim.scaled import Scaled, safe_log, spread


@dataclass(frozen=True, eq=False)
class Stand:
    """Where a batch stands when a rate is asked for.

    Attributes:
        force: minus the gradient in the logits.
        pull: the same in the arrays.
        direction: that of the step to take.
        arrays, objective, optimiser: of the batch; degree: of the parameterisation.
        iteration: steps taken.
    """

    force: Pulled
    pull: Scaled
    direction: Scaled
    arrays: Arrays
    objective: Objective
    optimiser: AbstractOptimiser
    degree: int
    iteration: int


class AbstractRate(ABC):
    """How long each step is."""

    @property
    @abstractmethod
    def command(self) -> str:
        """As on the command line."""

    @abstractmethod
    def log_rate(self, stand: Stand) -> Floats:
        """(B,) log of the rate."""

    @abstractmethod
    def late_speed(self, degree: int, gamma: float, share: float) -> float:
        """The margin that a normalised step adds late in the run; 0 if it dies out, inf if it grows.

        Args:
            degree: of the parameterisation.
            gamma: the largest margin of weights of norm 1.
            share: theta^degree of a sum of rates S has norm `share` S^degree.
        """


@dataclass(frozen=True)
class Constant(AbstractRate):
    """The same rate for every step."""

    eta: float

    def __post_init__(self) -> None:
        _positive("rate", self.eta)

    @property
    def command(self) -> str:
        return repr(float(self.eta))

    def log_rate(self, stand: Stand) -> Floats:
        return np.full(len(stand.force.f), math.log(self.eta))

    def late_speed(self, degree: int, gamma: float, share: float) -> float:
        return self.eta * gamma if degree == 1 else math.inf


@dataclass(frozen=True)
class Power(AbstractRate):
    """eta k^-a for step k = 1, 2, ..."""

    eta: float
    a: float

    def __post_init__(self) -> None:
        _positive("rate power", self.eta)
        if not 0.0 <= self.a <= 1.0:
            raise InputError(
                f"rate power: got a = {self.a}; expected 0 <= a <= 1, beyond which the steps add up to a finite sum"
            )

    @property
    def command(self) -> str:
        return f"power:{float(self.eta)!r},{float(self.a)!r}"

    def log_rate(self, stand: Stand) -> Floats:
        return np.full(len(stand.force.f), math.log(self.eta) - self.a * math.log(stand.iteration + 1))

    def late_speed(self, degree: int, gamma: float, share: float) -> float:
        # A sum of rates S = eta k^(1-a)/(1-a) gives the margin gamma share S^degree, whose growth is
        # gamma share degree (eta/(1-a))^degree (1-a) k^(degree (1-a) - 1).
        exponent = degree * (1.0 - self.a) - 1.0
        if exponent < -1e-12:
            return 0.0
        if exponent > 1e-12:
            return math.inf
        return gamma * share * degree * (self.eta / (1.0 - self.a)) ** degree * (1.0 - self.a)


@dataclass(frozen=True)
class Speed(AbstractRate):
    """The rate at which the margin grows by `rho` a step, from the gradient itself and without tuning.

    With r the force on the constraints and sigma the size of the direction in the rule's own norm, a step of rate eta
    along the steepest direction adds eta sigma N_d(pull) / sum(r) to the r-weighted mean of the margins, and for a
    product of two factors at most eta^2 sum |f s| / sum(r), s the logits of phi(direction); eta solves: both = rho.
    """

    rho: float

    def __post_init__(self) -> None:
        _positive("rate speed", self.rho)

    @property
    def command(self) -> str:
        return f"speed:{float(self.rho)!r}"

    def log_rate(self, stand: Stand) -> Floats:
        wanted = np.log(self.rho * np.maximum(-stand.force.f, 0.0).sum(axis=(1, 2)))
        own = stand.optimiser.rate_for(wanted, stand.pull, stand.arrays)
        if own is not None:
            return own
        size = stand.optimiser.log_size(stand.direction)
        slope = safe_log(stand.optimiser.ball.dual(stand.pull.arrays)) + (stand.pull.log - stand.force.log_norm) + size
        out = wanted - slope
        if stand.degree > 1:
            unit = np.exp(np.minimum(stand.direction.log - size, 700.0))
            step = {n: spread(unit, x) * x for n, x in stand.direction.arrays.items()}
            seen = stand.objective.tokens.logits(stand.objective.map.product(step))
            # Its size, not its sum: near zero the sum has either sign, and nothing else bounds the step there.
            bend = np.abs(stand.force.f * seen).sum(axis=(1, 2))
            # eta = 2 w / (b + sqrt(b^2 + 4 w c)), in units of the size of the step.
            ratio = np.exp(np.minimum(math.log(4.0) + wanted + safe_log(bend) - 2.0 * (slope - size), 700.0))
            out = out + math.log(2.0) - np.log1p(np.sqrt(1.0 + ratio))
        return np.where(np.isfinite(out), out, -np.inf)

    def late_speed(self, degree: int, gamma: float, share: float) -> float:
        return self.rho


def parse_rate(rate: Any) -> AbstractRate:
    """The rate meant by a number, a word such as power:0.1,0.5 or speed:0.03, or an object.

    Raises:
        InputError: none of these, or a number that is not positive.
    """
    if isinstance(rate, AbstractRate):
        return rate
    if isinstance(rate, str):
        word, _, rest = rate.partition(":")
        kind = {"power": Power, "speed": Speed}.get(word)
        try:
            if kind is not None:
                return kind(*map(float, rest.split(",")))
            return Constant(float(rate))
        except (ValueError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"rate: got {rate!r}; expected a number, power:ETA,A or speed:RHO") from None
    if isinstance(rate, int | float | np.number) and not isinstance(rate, bool):
        return Constant(float(rate))
    raise InputError(f"rate: got {rate!r}; expected a number, Power(eta, a) or Speed(rho)")


def _positive(what: str, value: float) -> None:
    if not (isinstance(value, int | float | np.number) and 0.0 < value < math.inf):
        raise InputError(f"{what}: got {value!r}; expected a positive number")

"""A loss of one sample's output: what the force, the excess and the barrier need to know of it (theory 3.2, 3.3)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


class AbstractLoss(ABC):
    """A decreasing loss l(u) of the output u = sum_t p_t gamma_t times the label; everything in logarithms.

    Attributes:
        word: what files and the command line call it.
        convex: whether l is convex, which the barrier theorem of docs/flow.md asks for.
    """

    word: str
    convex: bool

    @abstractmethod
    def log_value(self, u: Floats) -> Floats:
        """log l(u), of the shape of `u`."""

    @abstractmethod
    def log_slope(self, u: Floats) -> Floats:
        """log(-l'(u)), of the shape of `u`: how hard a sample pulls."""

    @abstractmethod
    def curvature(self, u: Floats) -> Floats:
        """-d log(-l'(u)) / du, of the shape of `u`: how the pull falls as the output grows."""

    @abstractmethod
    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        """log(l(u - delta) - l(u)) for log_expm1 = log(e^delta - 1), delta > 0.

        `log_expm1` and the result are counted from `offset`, so that differences of 1e12 in the exponent cost no
        digits; the three arguments broadcast.
        """


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
        return np.ones_like(u)

    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        return log_expm1 - u


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


EXPONENTIAL: Final = Exponential()
"""The loss where none is named."""

LOSSES: Final[dict[str, AbstractLoss]] = {loss.word: loss for loss in (EXPONENTIAL, Logistic())}
"""One line per loss; `marginflow.register` adds a user's own."""


_OURS: Final = frozenset(LOSSES)


def register_loss(loss: AbstractLoss) -> None:
    """Let `loss` be found by its word.

    Raises:
        InputError: its word is none, or that of a loss of this library.
    """
    word = loss.word
    if not isinstance(word, str) or not word.isprintable() or not word or word in _OURS:
        raise InputError(f"register: got a loss with the word {word!r}; expected one that is not {', '.join(_OURS)}")
    LOSSES[word] = loss


def parse_loss(loss: str | AbstractLoss | None = None) -> AbstractLoss:
    """The loss called `loss`, or the loss itself; the exponential one for None.

    Raises:
        InputError: neither a loss nor a word for one.
    """
    if loss is None:
        return EXPONENTIAL
    if isinstance(loss, AbstractLoss):
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise InputError(f"loss: got {loss!r}; expected {', '.join(map(repr, LOSSES))} or a loss object")
    return LOSSES[loss]


def log_minimal_loss(problem: Problem, loss: AbstractLoss) -> float:
    """log L*, the mean loss with all attention on the optimal tokens."""
    each = loss.log_value(problem.scores[np.arange(problem.n), problem.optimal])
    return float(np.logaddexp.reduce(each) - np.log(problem.n))

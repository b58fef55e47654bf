"""The squared distance from a target."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.losses.abstract import AbstractOutputLoss
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class Squared(AbstractOutputLoss):
    """l(u) = |u - t|^2 / 2 with the target t; of a class label the unit vector of that class."""

    word: str = field(default="squared", init=False)
    convex: bool = field(default=True, init=False)
    smooth: float = field(default=1.0, init=False)
    bend: float = field(default=0.0, init=False)

    def value(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        off = self.gradient(u, labels)
        return np.asarray(0.5 * (off * off).sum(axis=-1))

    def gradient(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        given = np.asarray(labels)
        target = np.eye(u.shape[-1])[given] if given.ndim == 1 else given
        return np.asarray(u - target)

    def hessian(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        k = u.shape[-1]
        return np.broadcast_to(np.eye(k), (*u.shape, k))

    def gradient_terms(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        return np.asarray(2.0 * np.abs(u) + np.abs(self.gradient(u, labels)))

    def check(self, problem: Problem) -> None:
        if problem.values is None:
            raise InputError("loss squared: got scores; expected values (n, T, k) and targets (outputs, k) as labels")

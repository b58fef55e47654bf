"""Arrays with a logarithm of their own for each run, so that buffers neither overflow nor underflow."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.parameterization import Arrays


LARGEST: Final = 700
"""Exponents are cut here before they are taken: e^700 is finite."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """The arrays e^log times `arrays`.

    At margin m a gradient has size e^-m: a buffer of it in plain float64 is 0 from margin 745 on, and one of its
    squares from 372 on. Here the size is in `log`, and sums count from the larger of the two.

    Attributes:
        arrays: name -> (B, ...), of moderate size.
        log: (B,), -inf for zero.
    """

    arrays: Arrays
    log: Floats

    @classmethod
    def zero(cls, like: Arrays) -> "Scaled":
        """Nothing yet, shaped as `like`."""
        return cls({name: np.zeros_like(a) for name, a in like.items()}, np.full(batch(like), -np.inf))

    def plus(self, other: "Scaled", own: float, its: float) -> "Scaled":
        """own * self + its * other, with own, its >= 0."""
        with np.errstate(divide="ignore"):
            mine, theirs = self.log + np.log(own), other.log + np.log(its)
        top = np.maximum(mine, theirs)
        counted = np.where(np.isneginf(top), 0.0, top)
        a, b = np.exp(mine - counted), np.exp(theirs - counted)
        out = {n: spread(a, x) * x + spread(b, x) * other.arrays[n] for n, x in self.arrays.items()}
        return Scaled(out, top)

    def times(self, factor: float) -> "Scaled":
        """factor * self, of either sign."""
        return Scaled({n: factor * x for n, x in self.arrays.items()}, self.log)

    def plain(self, log_factor: Floats | float = 0.0) -> Arrays:
        """The arrays themselves, times e^log_factor; 0 where that underflows."""
        size = np.exp(np.minimum(self.log + log_factor, LARGEST))
        return {n: spread(size, x) * x for n, x in self.arrays.items()}


def batch(arrays: Arrays) -> int:
    """B of arrays (B, ...)."""
    return len(next(iter(arrays.values())))


def spread(per_run: Any, like: Floats) -> Any:
    """(B,) shaped to multiply `like` (B, ...)."""
    return per_run.reshape(-1, *(1,) * (like.ndim - 1))


def inner(a: Arrays, b: Arrays) -> Floats:
    """(B,) the sum of products of all entries."""
    parts = [np.vecdot(x.reshape(len(x), -1), b[n].reshape(len(x), -1)) for n, x in a.items()]
    return np.asarray(sum(parts[1:], start=parts[0]))


def log_ratio(a: Arrays, b: Arrays) -> Floats:
    """(B,) the logarithm of the length of `a` over that of `b`; -inf or nan where one is 0."""
    if a is b:
        return np.zeros(batch(a))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(inner(a, a) / inner(b, b)) / 2.0)


def safe_log(size: Floats) -> Floats:
    """Its logarithm, -inf for 0 without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(size)

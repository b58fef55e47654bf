"""Logits to twice float64's precision, up to a shift of each sample."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.twofold import two_sum


ABSENT: Final = -1e300
"""The logit of padding: its weight is exactly 0, and differences with it stay finite."""


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits up to a shift of each sample, as an unevaluated sum `high + low` (B, n, T).

    At a margin of 1e12 one float64 resolves differences of 1e-4 only, and the weights are their exponentials.
    """

    high: Floats
    low: Floats

    @classmethod
    def of(cls, s: Floats, mask: Bools) -> "Logits":
        """Logits from one float64 each."""
        return cls(np.where(mask, s, ABSENT), np.zeros(s.shape)).rebased()

    def rebased(self) -> "Logits":
        """The same logits counted from the top token of each sample, with `low` small again."""
        high, low = two_sum(self.high, self.low)
        index = flat_index(high.argmax(axis=2), high.shape)
        top, bottom = high.take(index)[..., None], low.take(index)[..., None]
        difference, error = two_sum(high, -top)
        return Logits(*two_sum(difference, error + (low - bottom)))

    def moved(self, ds: Floats) -> "Logits":
        """The logits plus `ds` (B, n, T), not rebased."""
        return Logits(self.high, self.low + ds)


def flat_index(token: Ints, shape: tuple[int, ...]) -> Ints:
    """Flat indices of one token per sample (B, n)."""
    return np.asarray(sample_starts(shape) + token)


@lru_cache(maxsize=256)
def sample_starts(shape: tuple[int, ...]) -> Ints:
    """(B, n) flat index of the first token of every sample."""
    starts = np.arange(0, shape[0] * shape[1] * shape[2], shape[2]).reshape(shape[:2])
    starts.setflags(write=False)
    return starts

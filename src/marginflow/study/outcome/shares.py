"""Shares with Wilson intervals, and quantiles: the two ways a study sums up its runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marginflow import intervals
from marginflow.errors import InputError


@dataclass(frozen=True)
class Share:
    """`count` of `total`, with the 95 % Wilson interval of the probability behind it; nan for total 0."""

    count: int
    total: int
    lower: float
    upper: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.total if self.total else math.nan


def wilson(count: int, total: int) -> Share:
    """The 95 % score interval of Wilson (1927) for a binomial probability; never outside [0, 1].

    Raises:
        InputError: count outside 0..total.
    """
    if not 0 <= count <= total:
        raise InputError(f"share: got {count} of {total}; expected a count between 0 and the total")
    if total == 0:
        return Share(0, 0, math.nan, math.nan)
    return Share(count, total, *intervals.wilson(count, total))


@dataclass(frozen=True)
class Quantiles:
    """The 10, 50 and 90 % quantiles of `total` numbers; nan for none."""

    total: int
    low: float
    median: float
    high: float


def quantiles(values: Sequence[float | None]) -> Quantiles:
    """Quantiles of the numbers among `values`, None and nan left out; linear between order statistics."""
    numbers = np.array([v for v in values if v is not None and not math.isnan(v)], dtype=np.float64)
    if len(numbers) == 0:
        return Quantiles(0, math.nan, math.nan, math.nan)
    # "lower" and "higher" never compute inf - inf, as interpolation does among infinities.
    method = "linear" if np.isfinite(numbers).all() else "lower"
    low, median, high = np.quantile(numbers, [0.1, 0.5, 0.9], method=method)  # type: ignore[call-overload]
    return Quantiles(len(numbers), float(low), float(median), float(high))

"""Intervals and quantiles against independent numbers."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from marginflow.errors import InputError
from marginflow.study.outcome.shares import quantiles, wilson


@pytest.mark.parametrize("count, total", [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (145, 200), (1, 10_000)])
def test_wilson_is_scipys(count, total):
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    share = wilson(count, total)
    assert share.lower == pytest.approx(expected.low, abs=1e-12)
    assert share.upper == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= share.lower <= share.value <= share.upper <= 1


def test_wilson_of_nothing_and_of_nonsense():
    assert wilson(0, 0).total == 0 and math.isnan(wilson(0, 0).lower) and math.isnan(wilson(0, 0).value)
    with pytest.raises(InputError):
        wilson(3, 2)


def test_wilson_covers_about_95_percent():
    """Over p in (0.1, 0.9) at n = 60 the exact coverage of the interval, averaged, is near its name."""
    from scipy.stats import binom

    n = 60
    shares = [wilson(k, n) for k in range(n + 1)]
    ps = np.linspace(0.1, 0.9, 81)
    cover = [sum(binom.pmf(k, n, p) for k, s in enumerate(shares) if s.lower <= p <= s.upper) for p in ps]
    assert 0.94 < np.mean(cover) < 0.96 and min(cover) > 0.92


def test_quantiles_leave_out_what_is_no_number():
    q = quantiles([3.0, None, 1.0, math.nan, 2.0])
    assert (q.total, q.median) == (3, 2.0) and q.low == pytest.approx(1.2) and q.high == pytest.approx(2.8)
    assert quantiles([None]).total == 0 and math.isnan(quantiles([]).median)
    assert quantiles([1.0, math.inf, math.inf]).high == math.inf

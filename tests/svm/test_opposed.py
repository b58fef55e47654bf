"""Two rows that add up to zero are found at once, however long or short they are."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.svm.opposed import contradiction


@pytest.mark.parametrize("size", [1.0, 2.0**300, 2.0**-320, 2.0**-1070])
@pytest.mark.parametrize("times", [1.0, 8.0])
def test_opposite_rows_are_found_among_others(size, times):
    """Queries as small as float64 goes: their marks are taken of what is left without the power of two."""
    rng = np.random.default_rng(0)
    a, z = rng.integers(-99, 99, (40, 5)).astype(float), rng.integers(1, 99, (40, 4)).astype(float)
    a[31], z[31] = a[7], -times * z[7]
    dual = contradiction(mf.Constraints(a, np.arange(40), size * z))
    assert dual is not None and np.flatnonzero(dual).tolist() == [7, 31]
    assert dual[7] == times * dual[31]


def test_rows_that_do_not_cancel_are_not():
    rng = np.random.default_rng(0)
    assert contradiction(mf.Constraints(rng.standard_normal((40, 5)), np.arange(40), np.ones((40, 4)))) is None

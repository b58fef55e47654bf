"""Rounded bounds against exact rationals, to the last digit, and the spectral bound for any SVD, good or bad."""

import math
from fractions import Fraction

import numpy as np
import pytest

from marginflow import rounding


def exact(x):
    return sum((Fraction(float(v)) for v in np.ravel(x)), Fraction(0))


@pytest.mark.parametrize("size", [2, 3, 17])
def test_sums_lie_on_their_side_of_the_exact_one(size):
    """A sum rounded to nearest is above the exact one half of the time: a bound never is."""
    draw = np.random.default_rng(size)
    above = below = 0
    for _ in range(200):
        x = draw.random(size) * 10.0 ** draw.integers(-8, 8, size)
        true, plain = exact(x), Fraction(math.fsum(x))
        assert Fraction(rounding.sum_down(x)) <= true <= Fraction(rounding.sum_up(x))
        above, below = above + (plain > true), below + (plain < true)
        # The bounds are bounds and nothing more: a few units in the last place.
        assert rounding.sum_up(x) - rounding.sum_down(x) <= 30 * rounding.U * float(true)
    assert min(above, below) > 20


def test_up_and_down_move_a_number_by_the_roundings_it_carries():
    draw = np.random.default_rng(0)
    for _ in range(200):
        x, y = draw.random(2)
        product = float(x) * float(y)
        true = Fraction(float(x)) * Fraction(float(y))
        assert Fraction(rounding.down(product)) <= true <= Fraction(rounding.up(product))
        assert rounding.down(product, 1) > rounding.down(product, 1000) and rounding.up(product) < rounding.up(
            product, 1000
        )


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (6, 6)])
def test_the_frobenius_bound_is_above_the_exact_norm(shape):
    for seed in range(50):
        M = np.random.default_rng(seed).standard_normal(shape)
        squares = sum((Fraction(float(v)) ** 2 for v in M.ravel()), Fraction(0))
        bound = rounding.frobenius_up(M)
        assert Fraction(bound) ** 2 >= squares and bound <= math.sqrt(float(squares)) * (1 + 1e-13)


def true_norms(M):
    s = np.linalg.svd(M, compute_uv=False)
    return s[0], s.sum()


SPOILED = {
    "values too small": lambda U, s, V: (U, 0.7 * s, V),
    "the last value lost": lambda U, s, V: (U, np.append(s[:-1], 0.0), V),
    "long left vectors, small values": lambda U, s, V: (2.0 * U, s / 2.0, V),
    "long right vectors, small values": lambda U, s, V: (U, s / 3.0, 3.0 * V),
    "vectors that lean": lambda U, s, V: (U + 0.3 * np.roll(U, 1, axis=1), s, V),
    "a column twice": lambda U, s, V: (np.concatenate([U[:, :1], U[:, :-1]], axis=1), s, V),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (2, 6)])
def test_the_spectral_bound_holds_whatever_the_svd(monkeypatch, spoil, shape):
    """|M|_* and |M| from M = U S V' + R with the R that a bad factorisation leaves, and vectors that are not unit."""
    svd = np.linalg.svd
    for seed in range(5):
        M = np.random.default_rng(seed).standard_normal(shape)
        M /= 1.01 * np.abs(M).max()
        operator, nuclear = true_norms(M)
        U, s, V = svd(M, full_matrices=False)
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "svd", lambda *a, k=spoil(U, s, V), **o: k)
            bounds = rounding.spectral_up(M)
        assert bounds[0] >= operator * (1 - 1e-14) and bounds[1] >= nuclear * (1 - 1e-14)
        good = rounding.spectral_up(M)
        assert operator <= good[0] <= operator * (1 + 1e-12) and nuclear <= good[1] <= nuclear * (1 + 1e-12)

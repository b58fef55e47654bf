"""The equations that Newton's method solves on equalities, and where their factors are not used."""

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.svm.diagonal.saddle import saddle


def test_it_solves_its_equations_where_curvatures_span_ten_orders():
    rng = np.random.default_rng(0)
    E, curvature = rng.standard_normal((4, 9)), 10.0 ** rng.uniform(-10, 0, 9)
    pull, short = rng.standard_normal(9), rng.standard_normal(4)
    x, y = np.split(saddle(curvature, E, pull, short), [9])
    assert np.abs(E @ x - short).max() < 1e-12 * np.abs(x).max()
    assert np.abs(curvature * x - E.T @ y - pull).max() < 1e-12


@pytest.mark.parametrize("E", [np.ones((2, 5)), np.ones((3, 2)), np.ones((0, 2))])
def test_dependent_rows_have_no_factors(E):
    assert saddle(np.ones(E.shape[1]), E, np.ones(E.shape[1]), np.ones(len(E))) is None


@pytest.mark.parametrize("seed", [3, 5])
def test_steep_powers_keep_their_digits(seed):
    """Factors alone leave a gap of 2e-10."""
    solution = mf.solve(bank.sphere(6, 8, 10, seed), "lp:50")
    assert solution.certificate.gap < 1e-11

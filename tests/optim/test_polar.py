"""The polar factor by products against singular vectors in 40 digits, and what is left to the SVD."""

import mpmath
import numpy as np
import pytest

from marginflow.optim import polar as room
from marginflow.optim.polar import LEAST, QUINTICS, polar, polar_by_svd


def made(rng, d, m, s):
    """A matrix with singular values `s`."""
    U, V = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (d, m))
    r = len(s)
    return (U[:, :r] * s) @ V[:, :r].T


def test_the_quintics_take_every_singular_value_they_promise_to_one():
    s = np.concatenate([np.geomspace(LEAST, 1.0, 20_001), np.linspace(LEAST, 1.0, 20_001)])
    grown = 1.0
    for a, b, c in QUINTICS:
        s = a * s + b * s**3 + c * s**5
        grown *= a
    assert np.abs(s - 1.0).max() < 2e-15
    assert grown < 2600


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (5, 1)])
def test_it_is_the_polar_factor(shape):
    rng = np.random.default_rng(0)
    k = min(shape)
    x = np.array([made(rng, *shape, np.exp(rng.uniform(-3, 0, k))) for _ in range(20)])
    got = polar(x)
    with mpmath.workdps(40):
        for one, p in zip(x[:3], got[:3], strict=True):
            U, _s, V = mpmath.svd_r(mpmath.matrix(one.tolist()))
            assert np.abs(np.array((U * V).tolist(), dtype=float) - p).max() < 2e-14
    assert np.abs(got - polar_by_svd(x)).max() < 1e-13


@pytest.mark.parametrize("least", [1e-2, 1e-5, 1e-8, 1e-12, 1e-13, 1e-14])
def test_small_singular_values_are_left_to_the_svd_and_not_dropped(least):
    rng = np.random.default_rng(1)
    x = np.array([made(rng, 5, 5, np.array([1.0, 0.5, 0.2, least])) for _ in range(8)])
    s = np.linalg.svd(polar(x), compute_uv=False)
    assert np.abs(s[:, :4] - 1.0).max() < 2e-12, "a singular value above rounding became less than 1"
    assert np.abs(s[:, 4]).max() < 2e-12


def test_without_the_check_of_convergence_they_would_be_lost(monkeypatch):
    rng = np.random.default_rng(1)
    x = made(rng, 5, 5, np.array([1.0, 0.5, 0.2, 1e-8]))[None]
    monkeypatch.setattr(room, "CONVERGED", np.inf)
    assert np.linalg.svd(polar(x)[0], compute_uv=False)[3] < 1e-3


def test_rank_and_size_of_each_matrix_are_its_own():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 4, 4))
    x[1] = 0.0
    x[2] *= 1e-160
    x[3] *= 1e150
    x[4] = np.outer(x[4, 0], x[4, 1])
    got = polar(x)
    assert np.abs(got - polar_by_svd(x)).max() < 2e-12
    assert (got[1] == 0.0).all()
    for i in (0, 4, 5):
        assert np.abs(polar(x[i : i + 1])[0] - got[i]).max() < 1e-14

"""Conjugate gradients that look at their numbers at every step, and at every few as where looking means to wait."""

import numpy as np
import pytest

from marginflow.svm.scaling.conjugate_gradients import conjugate_gradients
from marginflow.svm.scaling.namespace import NumPy


def system(n=30, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    return A @ A.T + np.eye(n), rng.standard_normal(n)


@pytest.mark.parametrize("lead", [1, 4, 7])
def test_the_residual_is_as_small_as_asked(lead, monkeypatch):
    H, b = system()
    y, one = conjugate_gradients(lambda x: H @ x, b, 1e-9)
    monkeypatch.setattr(NumPy, "lead", lead)
    z, steps = conjugate_gradients(lambda x: H @ x, b, 1e-9)
    assert np.linalg.norm(H @ z - b) <= 2e-9 and z == pytest.approx(y, abs=1e-8)
    assert one <= steps < one + lead and steps % lead == 0


@pytest.mark.parametrize("lead", [1, 4])
@pytest.mark.parametrize("broken", [6, 19])
def test_what_breaks_down_ends_in_what_was_finite(lead, broken, monkeypatch):
    """Products that overflow after some steps, also in the last steps that are allowed."""
    H, b = system()
    calls = []

    def product(x):
        calls.append(0)
        return H @ x if len(calls) <= broken else np.full(len(x), np.nan)

    monkeypatch.setattr(NumPy, "lead", lead)
    y, steps = conjugate_gradients(product, b, 1e-12, most=20)
    assert np.isfinite(y).all() and steps <= broken and np.linalg.norm(H @ y - b) < np.linalg.norm(b)


def test_a_direction_without_curvature_ends_it():
    H = np.diag([1.0, 2.0, -3.0])
    y, steps = conjugate_gradients(lambda x: H @ x, np.array([0.0, 0.0, 1.0]), 1e-9)
    assert steps == 0 and not y.any()

"""Closed forms against each other and against their differential equations."""

import numpy as np
import pytest

from marginflow.claims.closed_form import (
    diagonal_path,
    finite_trap_threshold,
    mirror_coordinate,
    orthogonal_limit,
    single_sample,
)


K, Q = np.array([0.3, 0.5]), np.array([0.1, -0.2])
C = np.array([2.0, 1.0])


def test_the_path_solves_the_flow() -> None:
    # d beta / db = k^2 + q^2, with (k +- q) = (k + q)_0 e^b, (k - q)_0 e^-b; central difference of order h^2.
    b, h = np.array([0.7, 0.4]), 1e-5
    slope = (diagonal_path(K, Q, b + h) - diagonal_path(K, Q, b - h)) / (2 * h)
    plus, minus = (K + Q) * np.exp(b), (K - Q) * np.exp(-b)
    assert slope == pytest.approx((plus**2 + minus**2) / 2, rel=1e-8)


def test_the_mirror_coordinate_moves_with_the_force() -> None:
    b = np.array([1.3, 0.2])
    c = K * K - Q * Q
    moved = mirror_coordinate(diagonal_path(K, Q, b), c) - mirror_coordinate(K * Q, c)
    assert moved == pytest.approx(b, rel=1e-13)


@pytest.mark.parametrize(
    ("k", "q", "predicted"),
    [
        ((0.3, 0.5), (0.1, -0.2), 0.5007),
        ((0.1, 0.1), (0.1, 0.1), 0.5006),
        ((0.0, 0.3), (0.0, 0.1), 1.0),
        ((0.1, 0.3), (-0.1, 0.1), 1.0),
        ((0.001, 0.3), (-0.0005, 0.1), 0.9181),
    ],
)
def test_table_5_3(k, q, predicted) -> None:
    beta = single_sample(np.array(k), np.array(q), C, 2999.0)
    assert C @ beta == pytest.approx(2999.0, rel=1e-12)
    # Four printed digits.
    assert np.abs(beta).sum() / 2999.0 == pytest.approx(predicted, abs=5.1e-5)


def test_single_sample_refuses_margins_that_are_not_ahead() -> None:
    with pytest.raises(ValueError, match="already beyond"):
        single_sample(K, Q, C, -1.0)
    with pytest.raises(ValueError, match="not reached"):
        single_sample(np.zeros(2), np.zeros(2), C, 1.0)


def test_orthogonal_limits_are_optimal() -> None:
    draw = np.random.default_rng(0)
    strengths = np.array([1.0, 2.0, 0.5])
    W = orthogonal_limit(*draw.standard_normal((2, 3, 4)), strengths)
    assert np.diag(W) * strengths == pytest.approx(1.0)
    assert np.linalg.svd(W, compute_uv=False).sum() == pytest.approx((1 / strengths).sum())


def test_the_finite_trap_is_stationary() -> None:
    def output(w: float) -> float:
        weights = np.exp(np.array([-w, w, 0.0]))
        return float(weights @ [1.0, 0.9, 0.0] / weights.sum())

    w, h = finite_trap_threshold(), 1e-4
    assert abs(output(w + h) - output(w - h)) / (2 * h) < 1e-8
    assert output(w) < min(output(w - 0.1), output(w + 0.1))

"""The conserved quantity: its exact change in one explicit step, and the two measures of balance."""

import numpy as np
import pytest

from marginflow.diagnostics.balance import balance, conserved, imbalance, relative_drift


def test_one_gradient_step_changes_it_by_second_order_only() -> None:
    draw = np.random.default_rng(1)
    K, Q, G = (draw.standard_normal(shape) for shape in ((3, 2), (4, 2), (3, 4)))
    step = 2.0**-6
    K1, Q1 = K + step * G @ Q, Q + step * G.T @ K
    predicted = step**2 * (Q.T @ G.T @ G @ Q - K.T @ G @ G.T @ K)
    # eps times the size of K'K and Q'Q, about 10.
    assert conserved(K1, Q1) - conserved(K, Q) == pytest.approx(predicted, abs=1e-14)
    size = (K1**2).sum() + (Q1**2).sum()
    assert relative_drift((K, Q), (K1, Q1)) == pytest.approx(np.linalg.norm(predicted) / size, rel=1e-10)


def test_diagonal_models_conserve_coordinate_by_coordinate() -> None:
    k, q = np.array([0.3, 0.5]), np.array([0.1, -0.2])
    assert conserved(k, q) == pytest.approx([0.08, 0.21])
    assert relative_drift((k, q), (k, q)) == 0.0


def test_balanced_factors() -> None:
    K = np.array([[1.0, 2.0], [0.0, 1.0]])
    assert balance(K, K) == 1.0 and imbalance(K, K) == 0.0
    assert balance(2 * K, K) == 4.0
    assert 0 < imbalance(2 * K, K) <= 1.0
    assert balance(K, 0 * K) == float("inf")

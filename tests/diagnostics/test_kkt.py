"""Approximate KKT residuals: 0 at KKT points, good or bad, and adding up to the duality gap elsewhere."""

import math

import numpy as np
import pytest

from marginflow.diagnostics.kkt import direct_residual, factored_residual
from marginflow.diagnostics.ratio import ratio
from marginflow.problem.planted import angle, sign_orbit


ROUNDING = 1e-14


def flat(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([p.ravel() for p in parts])


@pytest.mark.parametrize(("k", "optimal"), [((0.5**0.5, 0.0), True), ((0.0, 1.0), False)])
def test_both_kkt_points_of_the_factored_sign_orbit(k: tuple[float, float], optimal: bool) -> None:
    rows = sign_orbit().problem.constraints()
    K = Q = 10.0 * np.diag(k)
    dual = np.full(4, 0.3)
    G = rows.adjoint(dual)
    found = factored_residual(flat(K, Q), flat(G @ Q, G.T @ K), rows.margins(K @ Q.T), dual, 2)
    assert found.epsilon <= ROUNDING and found.delta <= ROUNDING
    assert found.cosine == pytest.approx(1.0, abs=ROUNDING)
    # The residuals vanish at the bad point too; R is what separates them.
    assert (ratio(K @ Q.T, dual, rows, "nuclear") < 1.5) is optimal


def test_epsilon_is_the_distance_left_after_the_best_scale() -> None:
    rows = angle(0.5).problem.constraints()
    draw = np.random.default_rng(0)
    K, Q = rows.a.T + 0.1 * draw.standard_normal((2, 2)), np.eye(2)
    dual = np.array([0.4, 0.6])
    G = rows.adjoint(dual)
    margins = rows.margins(K @ Q.T)
    found = factored_residual(flat(K, Q), flat(G @ Q, G.T @ K), margins, dual, 2)
    size = np.linalg.norm(flat(K, Q)) / np.sqrt(margins.min())
    assert found.epsilon == pytest.approx(size * np.sqrt(1 - found.cosine**2), rel=1e-12)
    again = factored_residual(flat(K, Q), 7 * flat(G @ Q, G.T @ K), margins, 7 * dual, 2)
    assert (again.epsilon, again.delta) == pytest.approx((found.epsilon, found.delta), rel=1e-12)


@pytest.mark.parametrize("size", [1e-3, 0.5, 7.0, 1e4])
def test_the_residuals_do_not_see_the_length_of_theta(size: float) -> None:
    """They are of theta over m_min^(1/2): the margins grow as size^2, their gradients and the force as size."""
    rows = angle(0.5).problem.constraints()
    K, Q, dual = rows.a.T + 0.1 * np.random.default_rng(1).standard_normal((2, 2)), np.eye(2), np.array([0.4, 0.6])
    G = rows.adjoint(dual)
    found, longer = (
        factored_residual(s * flat(K, Q), s * flat(G @ Q, G.T @ K), rows.margins(s * s * K @ Q.T), dual, 2)
        for s in (1.0, size)
    )
    assert found.delta > 1e-3 and (longer.epsilon, longer.delta) == pytest.approx((found.epsilon, found.delta))


def test_weights_are_the_multipliers_at_the_optimum() -> None:
    # At the l2 optimum of one constraint c = (2, 1): lambda = 1/|c|^2, and delta is 0.
    beta, c = np.array([0.4, 0.2]), np.array([2.0, 1.0])
    found = factored_residual(3 * beta, 5 * c, np.array([3.0]), np.array([5.0]), 1)
    assert found.epsilon <= ROUNDING and found.delta == 0.0


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator"])
def test_direct_residuals_add_up_to_the_duality_gap(norm: str) -> None:
    rows = angle(0.5).problem.constraints()
    W, dual = np.array([[2.0, 1.5], [0.3, 1.0]]), np.array([0.4, 0.6])
    found = direct_residual(W, dual, rows, norm)
    assert found.stationarity >= 0 and found.complementarity >= 0
    # R = upper/lower and the residuals sum to upper - lower.
    R = ratio(W, dual, rows, norm)
    total = found.stationarity + found.complementarity
    from marginflow.norms import parse_norm

    upper = parse_norm(norm).value(W) / rows.margins(W).min()
    assert total == pytest.approx(upper * (1 - 1 / R), rel=1e-12)


def test_nan_where_it_means_nothing() -> None:
    rows = angle(0.5).problem.constraints()
    assert math.isnan(direct_residual(-rows.a.T, np.ones(2), rows, "nuclear").stationarity)
    assert math.isnan(factored_residual(np.ones(2), np.ones(2), np.array([1.0, -1.0]), np.ones(2), 1).epsilon)

"""R(t): closed forms, the bound it claims to be, and the cases in which it must refuse."""

import math
from fractions import Fraction

import numpy as np
import pytest

from marginflow.diagnostics.ratio import _bounds, certify_weights, ratio, weights_in
from marginflow.errors import InputError
from marginflow.norms import parse_norm
from marginflow.problem.planted import angle, orthogonal, sign_orbit, spiked
from marginflow.problem.random import equal


EXACT = 1e-12
"""Closed-form optima carry about d eps per entry; 1e-12 is that with room for 10 x 10 matrices."""


def bisector(c: float) -> np.ndarray:
    u = np.array([np.sqrt((1 + c) / 2), np.sqrt((1 - c) / 2)])
    return np.outer(u, [1.0, 1.0]) / u[0]


@pytest.mark.parametrize("c", [-0.6, 0.1, 0.5, 0.99])
def test_angle_optimum_is_certified(c: float) -> None:
    made = angle(c)
    rows = made.problem.constraints()
    W = bisector(abs(c)) * [1.0, np.sign(c)]
    # The second difference is (c, s): for c < 0 the bisector belongs to a_1 and -a_2.
    if c < 0:
        u = np.array([np.sqrt((1 - c) / 2), -np.sqrt((1 + c) / 2)])
        W = np.outer(u, [1.0, -1.0]) / u[0]
    found = certify_weights(W, np.ones(2), rows, "nuclear")
    assert 1.0 <= found.value <= 1.0 + EXACT
    assert found.duality == pytest.approx(1.0, abs=EXACT)
    assert found.slack == pytest.approx(1.0, abs=EXACT)
    assert found.reason == ""


def test_frobenius_optimum_is_certified_and_is_not_the_nuclear_one() -> None:
    c = 0.5
    rows = angle(c).problem.constraints()
    W = rows.a.T
    assert ratio(W, np.ones(2), rows, "frobenius") == pytest.approx(1.0, abs=EXACT)
    # |W_F|_* / N* with the nuclear dual, which is uniform by symmetry (theory 6.3).
    predicted = (np.sqrt(1 + c) + np.sqrt(1 - c)) / (2 / np.sqrt(1 + c))
    assert ratio(W, np.ones(2), rows, "nuclear") == pytest.approx(predicted, abs=EXACT)


def test_spiked_ratio_of_the_frobenius_solution() -> None:
    n, c = 8, 0.25
    rows = spiked(n, c).problem.constraints()
    nuclear = np.sqrt(1 + (n - 1) * c) + (n - 1) * np.sqrt(1 - c)
    predicted = nuclear / (n / np.sqrt(1 + (n - 1) * c))
    assert ratio(rows.a.T, np.ones(n), rows, "nuclear") == pytest.approx(predicted, abs=EXACT)


@pytest.mark.parametrize(("beta", "predicted"), [((0.5, 0.0), 1.0), ((0.0, 1.0), 2.0), ((0.4, 0.2), 1.2)])
def test_sign_orbit_is_the_diagonal_problem(beta: tuple[float, float], predicted: float) -> None:
    rows = sign_orbit().problem.constraints()
    dual = np.full(4, 1 / 8)
    assert ratio(np.diag(beta), dual, rows, "nuclear") == pytest.approx(predicted, abs=EXACT)
    assert ratio(np.array(beta), dual, rows, "l1") == pytest.approx(predicted, abs=EXACT)


def test_any_correlation_is_optimal_on_orthogonal_data() -> None:
    rows = orthogonal(2).problem.constraints()
    for s in (-0.9, 0.0, 0.4, 1.0):
        assert ratio(np.array([[1, s], [s, 1]]), np.ones(2), rows, "nuclear") == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator"])
def test_never_below_one(norm: str) -> None:
    draw = np.random.default_rng(7)
    for seed in range(40):
        rows = equal(n=3, T=4, d=12, seed=seed).constraints()
        # Least-squares weights with every margin 1, plus noise: separating, not optimal.
        flat = np.linalg.lstsq(
            np.einsum("cd,ce->cde", rows.a, rows.queries).reshape(len(rows), -1), np.ones(len(rows))
        )[0]
        W = flat.reshape(rows.shape) + 0.01 * draw.standard_normal(rows.shape)
        dual = draw.exponential(size=len(rows))
        found = certify_weights(W, dual, rows, norm)
        if found.reason:
            assert not (rows.margins(W) > 0).all()
        else:
            assert found.value >= 1.0
            lower, upper = map(Fraction, _bounds(W, dual, rows, parse_norm(norm)))
            assert Fraction(found.value) * lower >= upper  # the division is rounded upwards
            assert found.duality >= 1.0 - EXACT and found.slack >= 1.0 - EXACT
            assert found.value == pytest.approx(found.duality * found.slack, rel=EXACT)


@pytest.mark.parametrize("scale", [1e-90, 1.0, 1e200])
def test_scale_of_weights_and_dual_does_not_matter(scale: float) -> None:
    rows = angle(0.3).problem.constraints()
    W, dual = np.array([[1.0, 0.9], [0.2, 0.3]]), np.array([0.7, 1.3])
    assert ratio(scale * W, dual, rows, "nuclear") == pytest.approx(ratio(W, dual, rows, "nuclear"), rel=1e-13)
    assert ratio(W, scale * dual, rows, "nuclear") == pytest.approx(ratio(W, dual, rows, "nuclear"), rel=1e-13)


def test_refuses_what_would_be_no_bound() -> None:
    rows = angle(0.5).problem.constraints()
    cases = [
        (np.diag([1.0, -1.0]), np.ones(2), "margins"),
        (rows.a.T, np.array([1.0, -1e-9]), "negative"),
        (rows.a.T, np.zeros(2), "zero"),
        (rows.a.T * np.nan, np.ones(2), "finite"),
    ]
    for W, dual, word in cases:
        found = certify_weights(W, dual, rows, "nuclear")
        assert math.isnan(found.value) and math.isnan(found.slack)
        assert word in found.reason


def test_wrong_shapes_are_refused() -> None:
    rows = angle(0.5).problem.constraints()
    with pytest.raises(InputError, match=r"W: got shape \(3, 2\)"):
        ratio(np.ones((3, 2)), np.ones(2), rows, "nuclear")
    with pytest.raises(InputError, match="dual: got shape"):
        ratio(np.ones((2, 2)), np.ones(3), rows, "nuclear")


def test_weights_take_the_shape_of_the_norm() -> None:
    beta = np.array([1.0, 2.0])
    assert np.array_equal(weights_in(parse_norm("l1"), np.diag(beta)), beta)
    assert np.array_equal(weights_in(parse_norm("nuclear"), beta), np.diag(beta))

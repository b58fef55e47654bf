"""Signs of large supports from conjugate gradients: the optimum that factors find, in as many bursts of gradients."""

import numpy as np
import pytest
from peers import unit_sphere

import marginflow as mf
from marginflow.svm.euclidean import solve_euclidean as euclidean
from marginflow.svm.scaling import query_blocks
from marginflow.svm.scaling.operator import Operator


CONSTRAINTS = unit_sphere(40, 12, 20)


@pytest.fixture(scope="module")
def factored():
    found = mf.solve(CONSTRAINTS, "frobenius", 1e-11)
    assert found.status is mf.SvmStatus.optimal and "conjugate" not in found.iterations
    return found


@pytest.fixture
def rough(monkeypatch):
    monkeypatch.setattr(euclidean, "_DIRECT", 50)


def test_rough_signs_end_at_the_same_optimum(factored, rough):
    found = mf.solve(CONSTRAINTS, "frobenius", 1e-11)
    assert found.iterations["conjugate"] > 0 and found.iterations["gradient"] <= factored.iterations["gradient"]
    assert found.certificate.gap <= 1e-11 and found.value == pytest.approx(factored.value, rel=1e-12)


def test_solutions_too_rough_for_signs_give_way_to_factors(factored, rough, monkeypatch):
    """One step of conjugate gradients leaves far more than rough residuals; more gradients are no answer to that."""
    monkeypatch.setattr(euclidean, "_PRODUCTS", 1)
    monkeypatch.setattr(euclidean, "_ONE_BY_ONE", 0)
    found = mf.solve(CONSTRAINTS, "frobenius", 1e-11)
    assert found.iterations["conjugate"] > 0 and found.iterations["gradient"] == factored.iterations["gradient"]
    assert found.certificate.gap <= 1e-11 and found.value == pytest.approx(factored.value, rel=1e-12)


def test_blocks_by_query_save_most_products(rough, monkeypatch):
    blocks = mf.solve(CONSTRAINTS, "frobenius").iterations["conjugate"]
    monkeypatch.setattr(query_blocks, "BLOCK", 1)
    assert 1.5 * blocks < mf.solve(CONSTRAINTS, "frobenius").iterations["conjugate"]


def test_supports_are_guessed_in_single_precision_and_digits_found_in_double(monkeypatch):
    """The burst of 100 steps that guesses reads float32, all of it; a longer one, pivots and bounds read float64."""
    seen, margins = [], Operator.margins

    def watched(self, W):
        seen.append((self.a.dtype, W.dtype))
        return margins(self, W)

    monkeypatch.setattr(Operator, "margins", watched)
    constraints = unit_sphere(40, 12, 30, d_z=20)
    double = mf.solve(constraints, "frobenius", 1e-11)
    assert {np.dtype(np.float64)} == {dtype for pair in seen for dtype in pair}
    seen.clear()
    monkeypatch.setattr(euclidean, "FOCUS_SIZE", 0)
    found = mf.solve(constraints, "frobenius", 1e-11)
    assert seen.count((np.float32, np.float32)) >= found.iterations["gradient"] > 20
    assert found.iterations["gradient"] == double.iterations["gradient"]
    assert found.certificate.gap <= 1e-11 and found.value == pytest.approx(double.value, rel=1e-11)
    seen.clear()
    monkeypatch.setattr(euclidean, "_BURSTS", (400, 400))
    assert mf.solve(constraints, "frobenius", 1e-11).certificate.gap <= 1e-11
    assert {np.dtype(np.float64)} == {dtype for pair in seen for dtype in pair}

"""Signs of large supports from conjugate gradients: the optimum that factors find, in as many bursts of gradients."""

import pytest
from peers import unit_sphere

import marginflow as mf
from marginflow.svm.euclidean import solve_euclidean as euclidean
from marginflow.svm.scaling import query_blocks


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

"""The table of a run: columns, closed forms at the end, what is nan and why."""

import json

import numpy as np
import pytest

from marginflow.diagnostics.ratio import final_ratio
from marginflow.diagnostics.table import Table, diagnose
from marginflow.errors import InputError
from marginflow.flow.integrate import integrate
from marginflow.model.registry import Combined, Diagonal, DiagonalKeyQuery, KeyQuery
from marginflow.problem.planted import angle, orthogonal, sign_orbit
from marginflow.problem.random import equal, sphere
from marginflow.svm.solve import solve


@pytest.fixture(scope="module")
def path():
    return integrate(angle(0.5).problem, KeyQuery(width=2), seed=0, until_margin=1e6, rtol=1e-8)


@pytest.fixture(scope="module")
def table(path) -> Table:
    problem = angle(0.5).problem
    return diagnose(path, [solve(problem, "nuclear"), solve(problem, "frobenius")])


def test_one_row_per_snapshot(path, table) -> None:
    assert len(table) == len(path) == len(list(table.rows()))
    assert all(len(table[name]) == len(path) for name in table.columns)
    assert table["singular_values"].shape == (len(path), 2)
    assert np.array_equal(table["margin"], path.margin)


def test_the_end_is_the_nuclear_solution(path, table) -> None:
    R = table["R_nuclear"][-1]
    assert 1 <= R < 1 + 1e-4 and final_ratio(path) == R
    share = table["face_nuclear"][-1]
    # The singular spaces are off by about the square root of the off-support share, 2e-4.
    assert share < 0.02 and table["angle_nuclear"][-1] < 0.02
    assert table["cos_nuclear"][-1] == pytest.approx(1.0, abs=3e-4)
    assert table["cos_frobenius"][-1] == pytest.approx(np.sqrt(0.75), abs=3e-4)
    assert 1 <= table["value_ratio_nuclear"][-1] + 1e-8 and table["value_ratio_nuclear"][-1] <= R + 1e-8
    assert table["value_ratio_frobenius"][-1] == pytest.approx(2 / np.sqrt(3), abs=1e-3)
    assert table["rho"][-1] == pytest.approx([1, np.sqrt(1 / 3)], abs=1e-3)


def test_residuals_vanish_and_the_factors_multiply(table) -> None:
    late = table["margin"] > 10
    assert (np.diff(table["epsilon"][late]) < 0).all()
    assert table["epsilon"][-1] < 0.05 and table["delta"][-1] < 1e-5
    product = table["duality_nuclear"][late] * table["slack"][late]
    assert table["R_nuclear"][late] == pytest.approx(product, rel=1e-12)
    assert table["conserved_drift"].max() < 1e-7
    assert table["balance"][-1] == pytest.approx(1, abs=1e-5)


def test_nan_comes_with_a_reason(table) -> None:
    early = table["margin"] <= 0
    assert np.isnan(table["R_nuclear"][early]).all()
    for value, note in zip(table["R_nuclear"], table.notes, strict=True):
        assert np.isnan(value) == bool(note)


def test_aligned_starts_stay_aligned() -> None:
    start = {"K": np.diag([0.3, 0.5]), "Q": np.diag([0.1, -0.2])}
    found = diagnose(integrate(sign_orbit().problem, KeyQuery(width=2), init=start, until_margin=1e4))
    for name in ("alignment_force", "alignment_inner", "alignment_rates"):
        assert found[name].max() <= 1e-14
    generic = diagnose(integrate(sign_orbit().problem, KeyQuery(width=2), seed=0, until_margin=1e4))
    assert generic["alignment_inner"][0] > 1e-3


@pytest.mark.parametrize("model", [Combined(), DiagonalKeyQuery(), Diagonal()])
def test_other_parameterisations(model) -> None:
    problem = equal(n=3, T=3, d=10, seed=0)
    run = integrate(problem, model, seed=0, until_margin=1e3)
    found = diagnose(run, [solve(problem, model.flow_norm)])
    assert f"R_{model.flow_norm}" in found.columns and ("R_nuclear" in found.columns) is not model.diagonal
    assert found[f"R_{model.flow_norm}"][-1] >= 1
    assert np.isnan(found["balance"]).all() == (model.degree == 1)
    assert np.isfinite(found["epsilon"][-1]) and np.isfinite(found["stationarity"][-1])


def test_the_direction_of_a_non_unique_optimum_is_not_compared() -> None:
    problem = orthogonal(2).problem
    found = diagnose(integrate(problem, KeyQuery(width=2), until_margin=1e4), [solve(problem, "nuclear")])
    assert np.isnan(found["cos_nuclear"]).all() and len(found.warnings) == 1
    assert found["value_ratio_nuclear"][-1] == pytest.approx(1, abs=1e-3)
    # Every direction is in the face.
    assert found["face_nuclear"][-1] < 1e-12


def test_force_matrix_is_minus_the_gradient() -> None:
    problem = sphere(n=3, T=4, d=5, seed=0)
    run = integrate(problem, Combined(), seed=0, until_margin=1.0)
    W, h = run.W(0), 1e-6

    def loss(W) -> float:
        p = np.exp(np.einsum("itd,de,ie->it", problem.X, W, problem.z))
        p /= p.sum(axis=1, keepdims=True)
        return float(np.exp(-(p * problem.scores).sum(axis=1)).mean())

    G = np.zeros_like(W)
    for index in np.ndindex(*W.shape):
        E = np.zeros_like(W)
        E[index] = h
        G[index] = (loss(W - E) - loss(W + E)) / (2 * h)
    found = run.at(0).force_matrix
    # Differences of order h^2 and eps/h.
    assert found / np.linalg.norm(found) == pytest.approx(G / np.linalg.norm(G), abs=1e-8)


def test_refuses_solutions_that_do_not_fit(path) -> None:
    with pytest.raises(InputError, match="shape"):
        diagnose(path, [solve(equal(n=3, T=3, d=10, seed=0), "nuclear")])


def test_unknown_columns_and_printing(table) -> None:
    with pytest.raises(InputError, match="R_nuclear"):
        table["R_nuklear"]
    assert "R_nuclear" in repr(table)
    json.dumps(table.to_dict())
    assert next(iter(table.rows()))["note"]

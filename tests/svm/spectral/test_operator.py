"""The operator-norm solver and its Newton step, against closed forms, CVXPY and its own bounds."""

import cvxpy
import numpy as np
import peers
import pytest
from peers import unit_sphere

import bank
import marginflow as mf
from marginflow.problem import planted
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.spectral.face_newton import face_newton
from marginflow.svm.spectral.first_order import iterate
from marginflow.svm.spectral.operator import OperatorNorm, level, solve_operator


def solve(constraints, tol, **options):
    return solve_operator(peers.svm(constraints, "operator"), tol, **options)


def bounds(constraints, candidate):
    return peers.bounds(constraints, candidate, 2)


@pytest.mark.parametrize(
    ("shape", "value"),
    [((6, 8, 10), 1.8452448392), ((50, 10, 40), 1.6413202814), ((100, 20, 100), 1.4571700512)],
)
def test_random_instances(shape, value):
    constraints = unit_sphere(*shape)
    upper, lower = bounds(constraints, solve(constraints, 1e-9))
    assert upper - lower <= 1e-9 * upper
    assert upper == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("family", "value"),
    [
        (planted.single(), 1 / 15),
        (planted.angle(0.5), 2 / (np.sqrt(1.5) + np.sqrt(0.5))),
        (planted.angle(0.1), 2 / (np.sqrt(1.1) + np.sqrt(0.9))),
        (planted.orthogonal(4), 1.0),
        (planted.orthogonal(2, 2.0), 1.0),
        (planted.rank_infeasible(), np.sqrt(2.0)),
        (planted.nearly_infeasible(), 2e9),
    ],
    ids=lambda x: x.problem.name if isinstance(x, planted.Planted) else "",
)
def test_closed_forms(family, value):
    constraints = family.problem.constraints()
    upper, lower = bounds(constraints, solve(constraints, 1e-9))
    assert upper == pytest.approx(value, rel=1e-9)
    assert lower == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_against_cvxpy(seed):
    constraints = unit_sphere(5, 4, 6, seed, d_z=3 + seed)
    W = cvxpy.Variable(constraints.shape)
    rows = cvxpy.sum(cvxpy.multiply(constraints.a @ W, constraints.queries), axis=1)
    want = cvxpy.Problem(cvxpy.Minimize(cvxpy.sigma_max(W)), [rows >= 1]).solve(solver="CLARABEL")
    assert bounds(constraints, solve(constraints, 1e-9))[0] == pytest.approx(want, rel=1e-6)


def test_level_is_the_simplex_threshold():
    s = np.array([0.1, 0.5, 2.0, 3.0])
    theta = level(s, 1.5)
    assert np.maximum(s - theta, 0).sum() == pytest.approx(1.5)
    assert level(s, s.sum()) == 0.0


def test_prox_is_the_minimiser():
    rng = np.random.default_rng(0)
    norm = OperatorNorm()
    for shape in ((4, 7), (7, 4)):
        Y = rng.standard_normal(shape)
        W, value = norm.prox(Y, 0.7)
        assert value == pytest.approx(norm.value(W))
        # Moreau: (Y - W) / tau is in the subdifferential of the norm at W
        B = (Y - W) / 0.7
        assert norm.dual_value(B) == pytest.approx(1.0)
        assert np.vdot(B, W) == pytest.approx(value)
        assert not norm.prox(Y, norm.dual_value(Y) + 1e-9)[0].any()


@pytest.mark.parametrize("d_z", [None, 7, 31])
def test_newton_is_quadratic(d_z):
    A = presolve(unit_sphere(20, 8, 20, d_z=d_z)).operator
    norm = OperatorNorm()
    for _, point, _ in iterate(A, norm):
        if point.gap < 1e-4:
            break
    polished, steps = face_newton(A, norm, point, 1e-12, most=4000)
    assert polished.gap <= 1e-12
    assert steps <= 4


def test_a_single_column_is_the_euclidean_problem():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((12, 5)) + 1.0
    constraints = mf.Constraints(a, [0] * 12, [[2.0]])
    upper, lower = bounds(constraints, solve(constraints, 1e-9))
    assert upper - lower <= 1e-9 * upper


def test_infeasible_data_give_a_ray():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((24, 4))
    constraints = mf.Constraints(np.r_[a, -a[3:4]], [*range(24), 3], rng.standard_normal((24, 5)))
    ray = solve(constraints, 1e-9).ray
    assert (ray >= 0).all()
    assert ray.sum() > 1e9 * np.linalg.norm(constraints.adjoint(ray))


@pytest.mark.parametrize("seed", range(10))
def test_small_problems_need_interior_points_alone(seed):
    constraints = unit_sphere(6, 8, 10, seed)
    candidate = solve(constraints, 1e-9)
    upper, lower = bounds(constraints, candidate)
    assert upper - lower <= 1e-9 * upper
    assert candidate.iterations["first_order"] == 0
    assert candidate.iterations["interior_point"] <= 22


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_very_different_scale(seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((30, 8)) * 10.0 ** rng.uniform(-5, 5, (30, 1))
    constraints = mf.Constraints(a, np.repeat(np.arange(6), 5), rng.standard_normal((6, 7)))
    upper, lower = bounds(constraints, solve(constraints, 1e-9))
    assert upper - lower <= 1e-9 * upper


def test_multipliers_are_mended_where_rounding_stops_interior_points():
    # Seeds at which interior points alone end at 1e-8 to 1e-7.
    for seed in (553, 951):
        constraints = bank.random_problem(seed).constraints()
        upper, lower = bounds(constraints, solve(constraints, 1e-9))
        assert upper - lower <= 1e-9 * upper


def test_warm_start():
    constraints = unit_sphere(20, 8, 20)
    cold = solve(constraints, 1e-9)
    warm = solve(constraints, 1e-9, start=cold)
    assert warm.iterations["first_order"] == 0
    assert bounds(constraints, warm)[0] == pytest.approx(bounds(constraints, cold)[0], rel=1e-9)

"""The nuclear-norm solver and each of its stages, against closed forms, CVXPY and its own bounds."""

import cvxpy
import numpy as np
import peers
import pytest
from peers import nothing, unit_sphere

import marginflow as mf
from marginflow.problem import planted
from marginflow.svm.candidate import Candidate
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.spectral.face_newton import face_newton
from marginflow.svm.spectral.first_order import iterate
from marginflow.svm.spectral.nuclear import Nuclear, solve_nuclear


def solve(constraints, tol, **options):
    return solve_nuclear(peers.svm(constraints, "nuclear"), tol, **options)


def bounds(constraints, candidate):
    return peers.bounds(constraints, candidate, "nuc")


def gap(constraints, candidate):
    upper, lower = bounds(constraints, candidate)
    return 1.0 - lower / upper


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ((10, 6, 10), 9.10009177685),
        ((20, 8, 20), 14.79957162445),
        ((50, 10, 40), 29.51450315302),
        ((100, 10, 64), 51.73083759641),
        ((100, 20, 100), 60.14506321801),
    ],
)
def test_the_peers_instances(shape, value):
    constraints = unit_sphere(*shape)
    candidate = solve(constraints, 1e-9)
    upper, lower = bounds(constraints, candidate)
    assert upper - lower <= 1e-9 * upper
    assert upper == pytest.approx(value, rel=2e-9)
    # quadratic convergence from an early guess, not thousands of first-order steps
    assert candidate.iterations["first_order"] <= 200


@pytest.mark.parametrize(
    "family",
    [
        planted.single(),
        planted.angle(0.5),
        planted.angle(-0.9),
        planted.spiked(),
        planted.sign_orbit(),
        planted.hadamard(),
        planted.orthogonal(5),
        planted.orthogonal(2, 2.0),
        planted.rank_infeasible(),
        planted.nearly_infeasible(),
    ],
    ids=lambda family: family.problem.name,
)
def test_closed_forms(family):
    constraints = family.problem.constraints()
    candidate = solve(constraints, 1e-9)
    upper, lower = bounds(constraints, candidate)
    value = family.values.get("nuclear", upper)  # hadamard: equal to its own l1 value, tested elsewhere
    assert upper == pytest.approx(value, rel=1e-9)
    assert lower == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_against_cvxpy(seed):
    constraints = unit_sphere(5, 4, 6, seed, d_z=3 + seed)
    W = cvxpy.Variable(constraints.shape)
    rows = cvxpy.sum(cvxpy.multiply(constraints.a @ W, constraints.queries), axis=1)
    want = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(W)), [rows >= 1]).solve(solver="CLARABEL")
    assert bounds(constraints, solve(constraints, 1e-9))[0] == pytest.approx(want, rel=1e-6)


def test_prox_is_the_minimiser():
    rng = np.random.default_rng(0)
    norm = Nuclear()
    for shape in ((4, 7), (7, 4)):
        Y = rng.standard_normal(shape)
        W, value = norm.prox(Y, 0.7)
        U, s, Vt = np.linalg.svd(Y, full_matrices=False)
        np.testing.assert_allclose(W, (U * np.maximum(s - 0.7, 0)) @ Vt, atol=1e-13)
        assert value == pytest.approx(norm.value(W))
        assert not norm.prox(Y, 2 * s[0])[0].any()


def test_first_order_steps_alone_converge_linearly():
    A = presolve(unit_sphere(20, 8, 20)).operator
    for total, point, _ in iterate(A, Nuclear()):
        if point.gap < 1e-9:
            break
        assert total < 1000
    assert (point.dual >= 0).all()


@pytest.mark.parametrize("d_z", [None, 7, 31])
def test_newton_is_quadratic(d_z):
    A = presolve(unit_sphere(20, 8, 20, d_z=d_z)).operator
    norm = Nuclear()
    for _, point, _ in iterate(A, norm):
        if point.gap < 3e-3:
            break
    polished, steps = face_newton(A, norm, point, 1e-12, most=4000)
    assert polished.gap <= 1e-12
    assert steps <= 4


def test_newton_leaves_hard_or_large_cases_to_others():
    A = presolve(unit_sphere(6, 8, 10)).operator
    _, point, _ = next(iterate(A, Nuclear()))
    assert face_newton(A, Nuclear(), point, 1e-12, most=3)[1] == 0
    assert face_newton(A, Nuclear(), nothing(A), 1e-12, most=4000)[1] == 0


@pytest.mark.parametrize("seed", range(5))
def test_infeasible_data_give_a_ray(seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((24, 4))
    constraints = mf.Constraints(np.r_[a, -a[3:4]], [*range(24), 3], rng.standard_normal((24, 5)))
    ray = solve(constraints, 1e-9).ray
    assert (ray >= 0).all()
    assert ray.sum() > 1e9 * np.linalg.norm(constraints.adjoint(ray), 2)


def test_a_zero_row_is_its_own_ray():
    constraints = mf.Constraints([[1.0, 2.0], [0.0, 0.0]], [0, 0], [[1.0, 1.0]])
    dual = mf.solve(constraints, "nuclear").dual
    np.testing.assert_array_equal(dual > 0, [False, True])


def test_rows_of_very_different_scale():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 8)) * 10.0 ** rng.uniform(-5, 5, (30, 1))
    constraints = mf.Constraints(a, np.arange(30) % 6, rng.standard_normal((6, 7)))
    assert gap(constraints, solve(constraints, 1e-9)) <= 1e-9


def test_duplicated_constraints_change_nothing():
    constraints = unit_sphere(6, 6, 8)
    twice = mf.Constraints(np.repeat(constraints.a, 3, axis=0), np.repeat(constraints.sample, 3), constraints.z)
    once, more = (
        solve(constraints, 1e-9),
        solve(twice, 1e-9),
    )
    assert gap(twice, more) <= 1e-9
    assert bounds(twice, more)[0] == pytest.approx(bounds(constraints, once)[0], rel=1e-9)


def test_more_constraints_than_unknowns():
    rng = np.random.default_rng(0)
    constraints = mf.Constraints(rng.random((500, 3)) + 0.1, np.arange(500) % 20, rng.random((20, 2)) + 0.01)
    assert gap(constraints, solve(constraints, 1e-9)) <= 1e-9


def test_optima_without_strict_complementarity():
    # W* = e1 e1', B* = I: singular values of B are 1 off the support of W, and binding rows carry no dual.
    a = np.array([[1.0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1]])
    z = np.array([[1.0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, -1]])
    constraints = mf.Constraints(a, np.arange(4), z)
    candidate = solve(constraints, 1e-9)
    assert gap(constraints, candidate) <= 1e-9


@pytest.mark.parametrize(("d", "extra"), [(6, 40), (20, 100), (20, 300)])
def test_planted_degenerate_optima(d, extra):
    """W* = sum_i u_i v_i' for half the pairs, held by those pairs alone; the other rows bind without dual."""
    rng = np.random.default_rng(d + extra)
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0][:, : d // 2] for _ in range(2))
    a, z = rng.standard_normal((extra, d)), rng.standard_normal((extra, d))
    margins = np.einsum("cd,cd->c", a @ (U @ V.T), z)
    keep = np.abs(margins) > 0.1
    a = np.r_[U.T, a[keep] / margins[keep, None]]
    constraints = mf.Constraints(a, np.arange(len(a)), np.r_[V.T, z[keep]])
    upper, lower = bounds(constraints, solve(constraints, 1e-9))
    assert upper - lower <= 1e-9 * upper
    assert lower - 1e-12 * d <= d // 2 <= upper + 1e-12 * d


def test_a_warm_start_saves_the_first_order_steps():
    constraints = unit_sphere(20, 8, 20)
    cold = solve(constraints, 1e-9)
    near = mf.Constraints(1.01 * constraints.a, constraints.sample, constraints.z + 1e-4)
    warm = solve(near, 1e-9, start=cold)
    assert gap(near, warm) <= 1e-9
    assert warm.iterations["first_order"] == 0
    useless = Candidate(-cold.W, cold.dual)
    assert gap(near, solve(near, 1e-9, start=useless)) <= 1e-9


def tf_as_svm(seed, n, T, d):
    """The data of the TF-as-SVM notebooks: unit rows, labels +-1, the best token by label times head."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, T, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z = rng.standard_normal((n, d))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    v = rng.standard_normal(d)
    return mf.Problem.from_head(X, z, rng.choice([-1.0, 1.0], n), v).constraints()


@pytest.mark.parametrize(
    ("shape", "published", "mean"),
    [((5, 5, 10), 5.2, 2.2), ((5, 5, 20), 4.8, 2.0), ((15, 5, 20), 14.6, 4.6)],
)
def test_published_ranks_are_a_solver_artefact(shape, published, mean):
    """peers.md 1.1: the ranks of the same family of data, not of the same draws (torch's generator)."""
    ranks = []
    for seed in range(10):
        constraints = tf_as_svm(seed, *shape)
        candidate = solve(constraints, 1e-12)
        assert gap(constraints, candidate) <= 1e-11
        s = np.linalg.svd(candidate.W, compute_uv=False)
        ranks.append(int((s > 1e-7 * s[0]).sum()))
    assert np.mean(ranks) == pytest.approx(mean, abs=0.7)
    assert np.mean(ranks) < published - 2.0


@pytest.mark.long
def test_the_largest_instance():
    constraints = unit_sphere(1000, 64, 256)
    assert gap(constraints, solve(constraints, 1e-9)) <= 1e-9

"""Data that break solvers: the tolerance asked, or `inaccurate` with bounds that hold and the reason."""

import warnings

import numpy as np
import peers
import pytest

import bank
import marginflow as mf
from marginflow.norms import parse_norm
from marginflow.svm.proof.certificate import certify
from marginflow.svm.proof.lift_margins import lift_margins


def _rows(a, z=None):
    a = np.asarray(a, dtype=float)
    if z is None:
        return mf.Constraints(a, np.zeros(len(a), dtype=int), np.ones((1, 1)))
    return mf.Constraints(a, np.arange(len(a)) % len(z), z)


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nearly_infeasible_is_feasible(norm, eps):
    solution = mf.solve(_rows([[1, 0], [-1, eps]]), norm)
    want = np.hypot(1.0, 2.0 / eps)
    assert solution.status is mf.SvmStatus.optimal
    assert solution.certificate.lower <= want * (1 + 1e-15)
    assert solution.certificate.upper >= want * (1 - 1e-15)
    assert solution.value == pytest.approx(want, rel=1e-9)
    assert solution.infeasibility is None


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
def test_a_value_beyond_float64_is_not_called_infeasible(norm):
    """Weights that float64 solvers do not find: the simplex method in rational numbers does."""
    solution = mf.solve(_rows([[1, 0], [-1, 1e-40]]), norm)
    assert solution.status is mf.SvmStatus.optimal
    assert solution.certificate.lower <= 2e40 <= solution.certificate.upper
    assert solution.certificate.gap < 1e-12


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
def test_contradictions_are_proved(norm):
    solution = mf.solve(_rows([[1, 0], [-1, 0], [3, 1]]), norm)
    assert solution.status is mf.SvmStatus.infeasible
    assert "exactly" in solution.reason
    assert solution.infeasibility > 1e10
    assert not solution.W.any()
    assert np.isnan(solution.value)
    assert solution.unique is None
    assert solution.rank is None
    support = np.flatnonzero(solution.dual)
    np.testing.assert_array_equal(support, [0, 1])
    assert not solution.constraints.adjoint(solution.dual / solution.dual.max()).any()


@pytest.mark.parametrize("norm", bank.NORMS)
def test_zero_rows_are_infeasible(norm):
    # A token equal to the selected one in features, not in score.
    problem = mf.Problem([[[1.0, 0], [1, 0], [0, 1]]], [[1.0, 1.0]], [[1.0, 0.5, 0]], mask=[[1, 0, 1]])
    assert mf.solve(problem, norm).status is mf.SvmStatus.optimal
    zero = mf.Constraints([[0.0, 0.0], [1.0, 2.0]], [0, 0], [[1.0, 1.0]])
    solution = mf.solve(zero, norm)
    assert solution.status is mf.SvmStatus.infeasible
    assert solution.dual[0] > 0 == solution.dual[1]


@pytest.mark.parametrize("norm", bank.NORMS)
def test_no_constraints(norm):
    empty = mf.Constraints(np.zeros((0, 3)), np.zeros(0, dtype=int), np.ones((2, 3)))
    solution = mf.solve(empty, norm)
    assert solution.status is mf.SvmStatus.optimal
    assert solution.value == solution.certificate.lower == solution.certificate.upper == 0.0
    assert solution.certificate.gap == 0.0
    assert solution.W.shape == (3, 3) and not solution.W.any()
    assert solution.unique is True
    assert solution.rank == 0


@pytest.mark.parametrize("norm", bank.NORMS)
def test_duplicates_change_nothing(norm):
    problem = bank.sphere(3, 3, 8)
    constraints = problem.constraints()
    twice = np.repeat(np.arange(len(constraints)), 3)
    once = mf.solve(constraints, norm)
    many = mf.solve(constraints.restrict(twice), norm)
    assert many.status is mf.SvmStatus.optimal
    assert many.value == pytest.approx(once.value, rel=2e-9)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_scaled_duplicates_leave_the_strongest(norm):
    constraints = _rows([[1.0, 2.0], [2.0, 4.0], [1e5, 2e5]])
    if norm in bank.DIAGONAL_NORMS:
        constraints = mf.Constraints(constraints.a, constraints.sample, [[1.0, 1.0]])
    strongest = constraints.restrict(np.array([0]))
    assert mf.solve(constraints, norm).value == pytest.approx(mf.solve(strongest, norm).value, rel=2e-9)


def _ten_orders(seed):
    rng = np.random.default_rng(seed)
    n, T, d = ((4, 3, 8), (6, 5, 10), (10, 3, 30), (3, 2, 5))[seed % 4]
    a = rng.standard_normal((n * T, d)) * 10 ** rng.uniform(-5, 5, (n * T, 1))
    return mf.Constraints(a, np.repeat(np.arange(n), T), rng.standard_normal((n, d)))


@pytest.mark.parametrize("norm", bank.NORMS)
def test_row_scales_over_ten_orders(norm):
    solved = 0
    for seed in range(12):
        constraints = _ten_orders(seed)
        solution = mf.solve(constraints, norm)
        diagonal = norm in bank.DIAGONAL_NORMS
        if diagonal and solution.status is mf.SvmStatus.infeasible:
            assert len(constraints) > constraints.shape[0]  # otherwise generic rows can be met; the proof is exact
            assert "exactly" in solution.reason
            continue
        assert solution.status is mf.SvmStatus.optimal, (seed, solution.reason)
        assert solution.certificate.gap <= 1e-9
        solved += 1
    assert solved == (8 if norm in bank.DIAGONAL_NORMS else 12)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_a_margin_that_rounding_took_is_given_back(norm):
    """The binding row of least multiplier falls short by 1e-5: the bound pays for that multiplier, not for 1e-5."""
    constraints, chosen = _ten_orders(2), parse_norm(norm)
    solution = mf.solve(constraints, norm)
    W = solution.beta if chosen.diagonal else solution.W
    binding = np.flatnonzero(constraints.margins(solution.W) < 1 + 1e-3)
    row = binding[solution.dual[binding].argmin()]
    share = solution.dual[row] / solution.dual.sum()
    assert share < 1e-3
    R = bank.written_out(constraints, chosen.diagonal)
    W = W - (R[row] @ W.ravel() - 1 + 1e-5) * (R[row] / (R[row] @ R[row])).reshape(W.shape)
    before = certify(solution.svm, W, solution.dual).certificate
    after = certify(solution.svm, lift_margins(solution.svm, W, solution.dual), solution.dual).certificate
    assert before.gap > 9e-6
    assert after.gap < 3e-5 * share + 1e-10


@pytest.mark.parametrize("norm", bank.NORMS)
@pytest.mark.parametrize("scale", [1e-90, 1e90])
def test_extreme_units(norm, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = mf.solve(_rows(np.eye(3), np.eye(3)), norm)
        solution = mf.solve(_rows(scale * np.eye(3), scale**0.1 * np.eye(3)), norm)
        assert solution.status is mf.SvmStatus.optimal
        assert solution.value * scale**1.1 == pytest.approx(plain.value, rel=1e-9)
        assert solution.rank == plain.rank
        assert solution.unique == plain.unique


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
def test_more_constraints_than_entries_and_integer_ties(norm):
    a = np.array([[i, j] for i in range(-2, 3) for j in range(-2, 3) if i + j > 0], dtype=float)
    constraints = _rows(a, np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    assert len(constraints) > np.prod(constraints.shape)
    solution = mf.solve(constraints, norm)
    assert solution.status is mf.SvmStatus.optimal
    assert solution.certificate.gap <= 1e-9


@pytest.mark.parametrize("norm", bank.NORMS)
def test_degenerate_optimum_without_strict_complementarity(norm):
    # The third constraint is active at the optimum (1, 1) with multiplier zero.
    problem = mf.Constraints([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0, 1, 2], [[1.0, 0], [0, 1.0], [1.0, 1.0]])
    solution = mf.solve(problem, norm)
    assert solution.status is mf.SvmStatus.optimal
    assert solution.certificate.gap <= 1e-9


@pytest.mark.parametrize("p", [10, 30, 50, 200, 1000])
def test_large_exponents(p):
    """Between l2 and linf, where |beta|^p has no curvature left: cones, then Newton on the active rows."""
    for seed, shape in enumerate([(3, 3, 10), (5, 4, 20), (2, 2, 5), (6, 5, 30)]):
        problem = bank.sphere(*shape, seed)
        solution = mf.solve(problem, f"lp:{p}")
        assert solution.status is mf.SvmStatus.optimal, solution.reason
        least, most = mf.solve(problem, "linf").value, mf.solve(problem, "l2").value
        assert least * (1 - 1e-9) <= solution.value <= most
        assert solution.value <= least * shape[2] ** (1 / p) * (1 + 1e-9)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf", "lp:1.1", "lp:3", "lp:10"])
def test_coordinates_over_eight_orders(norm):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        constraints = bank.sphere(5, 4, 20, seed).constraints()
        scaled = mf.Constraints(constraints.a * 10 ** rng.uniform(-4, 4, 20), constraints.sample, constraints.z)
        solution = mf.solve(scaled, norm)
        assert solution.status is mf.SvmStatus.optimal, (seed, solution.reason)


def test_large_exponents_on_badly_scaled_coordinates_say_so():
    rng = np.random.default_rng(8)
    constraints = bank.sphere(3, 3, 10, 8).constraints()
    scaled = mf.Constraints(constraints.a * 10 ** rng.uniform(-4, 4, 10), constraints.sample, constraints.z)
    solution = mf.solve(scaled, "lp:50")
    assert solution.certificate.gap < 1e-2
    if solution.status is not mf.SvmStatus.optimal:
        assert solution.status is mf.SvmStatus.inaccurate and "1.0e-09 was asked" in solution.reason


def test_diagonal_norms_need_equal_dimensions():
    with pytest.raises(mf.UndefinedError, match="same number"):
        mf.solve(bank.sphere(2, 3, 4, d_z=5), "l1")


@pytest.mark.parametrize("tol", [0, -1e-9, 1.0, np.nan, "tight", None])
def test_tolerances_are_checked(tol):
    with pytest.raises(mf.InputError, match="tol"):
        mf.solve(bank.sphere(2, 3, 4), tol=tol)


def test_other_misuse():
    problem = bank.sphere(2, 3, 4)
    with pytest.raises(mf.InputError, match="norm"):
        mf.solve(problem, "trace")
    with pytest.raises(mf.InputError, match="expected a Problem"):
        mf.solve(problem.X)
    with pytest.raises(mf.InputError, match="selection"):
        mf.solve(problem.constraints(), selection=[0, 0])
    with pytest.raises(mf.InputError, match="against"):
        mf.solve(problem, against="equal")
    with pytest.raises(mf.InputError, match="no token"):
        mf.solve(problem, selection=[0, 9])


def test_a_tolerance_out_of_reach_is_inaccurate_with_the_reason():
    solution = mf.solve(bank.sphere(6, 8, 10), "frobenius", tol=1e-17)
    assert solution.status is mf.SvmStatus.inaccurate
    assert solution.certificate.gap < 1e-12
    assert "float64" in solution.reason


@pytest.mark.parametrize("norm", ["nuclear", "operator", "frobenius", "l1", "lp:1.5"])
def test_ctrl_c_reaches_the_caller(norm, monkeypatch):
    def stop(iteration, gap):
        raise KeyboardInterrupt

    peers.tick(monkeypatch)
    problem = bank.sphere(40, 8, 320) if norm in bank.DIAGONAL_NORMS else bank.sphere(60, 20, 60)
    with pytest.raises(KeyboardInterrupt):
        mf.solve(problem, norm, progress=stop)


@pytest.mark.parametrize("norm", ["frobenius", "nuclear", "entry-l1"])
def test_two_opposite_rows_of_a_large_problem_are_a_contradiction(norm):
    """Found before any solver runs, which sees only a norm that grows; of powers of two alike."""
    draw = np.random.default_rng(0)
    a, sample = draw.standard_normal((400, 10)), np.repeat(np.arange(80), 5)
    z = draw.standard_normal((80, 10))
    for i, j, factor in ((0, 1, -1.0), (7, 395, 4.0)):
        rows, queries = a.copy(), z.copy()
        rows[j] = factor * rows[i]
        if factor > 0.0:
            queries[79] = -0.5 * queries[1]
        found = mf.solve(mf.Constraints(rows, sample, queries), norm)
        assert found.status is mf.SvmStatus.infeasible and found.iterations == {}, found.reason
        assert np.flatnonzero(found.dual).tolist() == [i, j]


def test_rows_that_are_only_nearly_opposite_are_no_contradiction():
    from marginflow.svm.opposed import contradiction

    rows = mf.Constraints([[1.0, 2.0], [-1.0, -2.0 - 2e-15], [1.0, 2.0]], [0, 0, 0], [[1.0, 3.0]])
    assert contradiction(rows) is None
    level = np.array([1.0, 0.0, 1.0])
    assert (
        contradiction(mf.Constraints([[1.0, 2.0], [-1.0, -2.0], [1.0, 2.0]], [0, 0, 0], [[1.0, 3.0]], level=level))
        is None
    )

"""Random problems against referees: separability against a linear program, values against CVXPY and SciPy."""

import numpy as np
import pytest
from scipy.optimize import linprog

import bank
import marginflow as mf


def _check(seed):
    problem = bank.random_problem(seed)
    if problem is None:
        return
    constraints = problem.constraints()
    verdicts = {}
    for norm in bank.NORMS:
        diagonal = norm in bank.DIAGONAL_NORMS
        if diagonal and problem.d != problem.d_z:
            continue
        if diagonal not in verdicts:
            verdicts[diagonal] = _separable(constraints, diagonal)
        solution = mf.solve(problem, norm)
        status, label = solution.status.name, f"seed {seed}, {norm}: {solution!r} {solution.reason}"
        certificate = solution.certificate
        assert certificate.lower <= certificate.upper, label
        if verdicts[diagonal]:
            assert status == "optimal", label
        else:
            assert status == "infeasible", label
            # The value is known to exceed what the scale of the data would make likely by far.
            scale = np.abs(bank.written_out(constraints, diagonal)).max() or 1.0
            assert solution.infeasibility * scale > 1e8, label
        if status == "optimal":
            assert certificate.gap <= 1e-9, label
            W = solution.beta if diagonal else solution.W
            assert constraints.margins(W).min() >= 1 - 1e-9, label


def _separable(constraints, diagonal):
    R = bank.written_out(constraints, diagonal)
    length = np.linalg.norm(R, axis=1)
    if not length.all():
        return False
    found = linprog(np.zeros(R.shape[1]), A_ub=-R / length[:, None], b_ub=-np.ones(len(R)), bounds=(None, None))
    assert found.status in (0, 2)
    return found.status == 0


@pytest.mark.parametrize("block", range(10))
def test_no_wrong_verdict(block):
    for seed in range(10 * block, 10 * block + 10):
        _check(seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(9))
def test_no_wrong_verdict_on_a_thousand(block):
    for seed in range(100 + 100 * block, 200 + 100 * block):
        _check(seed)


@pytest.mark.parametrize("seed", [2, 3, 7])
@pytest.mark.parametrize("norm", bank.NORMS)
def test_values_agree_with_cvxpy(seed, norm):
    import cvxpy

    problem = bank.sphere(3, 3, 6, seed, d_z=4 if norm in bank.ENTRY_NORMS else None)
    constraints = problem.constraints()
    solution = mf.solve(problem, norm)
    assert solution.status is mf.SvmStatus.optimal, solution.reason
    R = bank.written_out(constraints, norm in bank.DIAGONAL_NORMS)
    x = cvxpy.Variable(R.shape[1])
    if norm not in bank.MATRIX_NORMS:
        objective = cvxpy.pnorm(x, bank.exponent(norm))
    else:
        W = cvxpy.reshape(x, problem.constraints().shape, order="C")
        objective = {"nuclear": cvxpy.normNuc, "operator": cvxpy.sigma_max, "frobenius": cvxpy.norm}[norm](
            W if norm != "frobenius" else x
        )
    referee = cvxpy.Problem(cvxpy.Minimize(objective), [R @ x >= 1])
    referee.solve(solver=cvxpy.CLARABEL)
    assert solution.value == pytest.approx(referee.value, rel=1e-5)
    assert solution.certificate.lower <= referee.value * (1 + 1e-5)


@pytest.mark.parametrize("norm", ["l1", "linf"])
@pytest.mark.parametrize("shape", [(10, 6, 100), (4, 3, 8), (20, 8, 200)])
def test_linear_programs_agree_with_highs(norm, shape):
    problem = bank.sphere(*shape)
    R = problem.constraints().diagonal
    C, d = R.shape
    solution = mf.solve(problem, norm)
    if norm == "l1":
        found = linprog(np.ones(2 * d), A_ub=np.hstack((-R, R)), b_ub=-np.ones(C))
    else:
        box = np.vstack((np.eye(d), -np.eye(d)))
        found = linprog(
            np.append(np.zeros(d), 1.0),
            A_ub=np.vstack((np.hstack((-R, np.zeros((C, 1)))), np.hstack((box, -np.ones((2 * d, 1)))))),
            b_ub=np.append(-np.ones(C), np.zeros(2 * d)),
            bounds=(None, None),
        )
    assert solution.status is mf.SvmStatus.optimal
    assert solution.value == pytest.approx(found.fun, rel=1e-8)


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
@pytest.mark.parametrize(("n", "T", "d", "d_z"), [(6, 8, 10, 10), (5, 4, 12, 3), (4, 6, 3, 30), (12, 3, 8, 8)])
def test_shapes(norm, n, T, d, d_z):
    solution = mf.solve(bank.sphere(n, T, d, d_z=d_z), norm)
    assert solution.W.shape == (d, d_z)
    assert solution.dual.shape == (n * (T - 1),)
    assert solution.status is mf.SvmStatus.optimal, solution.reason


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator"])
def test_ragged_samples_and_other_tokens(norm):
    rng = np.random.default_rng(5)
    X = [rng.standard_normal((T, 7)) for T in (2, 5, 3)]
    problem = mf.Problem(X, rng.standard_normal((3, 4)), [rng.random(len(x)) for x in X])
    selection = [1, 0, 2]
    solution = mf.solve(problem, norm, selection=selection)
    assert solution.status is mf.SvmStatus.optimal
    own = problem.constraints(selection)
    assert own.margins(solution.W).min() >= 1 - 1e-9
    assert len(solution.constraints) == 1 + 4 + 2
    np.testing.assert_array_equal(solution.selection, selection)
    direct = mf.solve(own, norm)
    assert direct.value == pytest.approx(solution.value, rel=1e-9)
    worse = mf.solve(problem, norm, selection=selection, against="worse")
    assert len(worse.constraints) == len(problem.constraints(selection, against="worse"))
    assert worse.value <= solution.value * (1 + 1e-9)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_solve_many_is_solve_for_each(norm):
    problems = [bank.sphere(2, 3, 8, seed) for seed in range(3)]
    calls = []
    many = mf.solve_many(problems, norm, progress=lambda done, gap: calls.append((done, gap)))
    assert [done for done, _ in calls] == [1, 2, 3]
    for problem, solution in zip(problems, many, strict=True):
        assert solution.value == pytest.approx(mf.solve(problem, norm).value, rel=1e-9)


@pytest.mark.parametrize("norm", ["nuclear", "operator"])
def test_a_batch_of_mixed_shapes_says_what_each_alone_does(norm):
    """Stacked where shapes agree; infeasible, unusual and single problems in between spoil nothing."""
    problems = [bank.random_problem(seed) for seed in range(30)]
    batch = [problem for problem in problems if problem is not None]
    batch += [bank.sphere(4, 5, 6, seed) for seed in range(40)] + [bank.sphere(2, 3, 4), bank.sphere(1, 2, 3)]
    batch.append(bank.sphere(3, 3, 5).constraints())
    for problem, solution in zip(batch, mf.solve_many(batch, norm), strict=True):
        alone = mf.solve(problem, norm)
        assert solution.status is alone.status, solution.reason
        if solution.status is mf.SvmStatus.optimal:
            assert solution.certificate.gap <= 1e-9
            assert solution.value == pytest.approx(alone.value, rel=1e-9)


def test_the_stack_leaves_nothing_to_do(monkeypatch):
    """Every problem of one small shape comes back solved from the stack, not from the solver behind it."""
    import marginflow.svm.spectral.solve_spectral as spectral

    monkeypatch.setattr(spectral, "_run", lambda *_: pytest.fail("the solver had to start again"))
    many = mf.solve_many([bank.sphere(6, 8, 10, seed) for seed in range(40)], "operator")
    assert all(solution.status is mf.SvmStatus.optimal for solution in many)
    assert all(0 < solution.iterations["interior_point"] < 30 for solution in many)


def test_a_batch_is_checked_like_a_problem():
    with pytest.raises(mf.InputError, match="tol"):
        mf.solve_many([bank.sphere(2, 3, 4)] * 2, "operator", 2.0)
    with pytest.raises(mf.InputError, match="expected a Problem"):
        mf.solve_many([bank.sphere(2, 3, 4), None], "operator")
    assert mf.solve_many([], "operator") == []


COLD = ("first_order", "gradient", "interior", "interior_point", "cones")
"""Stages that a start close by makes needless."""


@pytest.mark.parametrize("norm", [*bank.NORMS, "lp:50"])
def test_starting_from_an_earlier_solution(norm):
    # Ten entries of W times eight samples keep the operator norm off the road of small problems.
    problem = bank.sphere(20, 4, 20) if norm == "operator" else bank.sphere(6, 3, 20)
    cold = mf.solve(problem, norm)
    moved = mf.Problem(problem.X * 1.001, problem.z, problem.scores)
    warm = mf.solve(moved, norm, start=cold)
    assert warm.status is mf.SvmStatus.optimal
    assert warm.value * 1.001 == pytest.approx(cold.value, rel=2e-9)
    assert not any(warm.iterations.get(stage) for stage in COLD), warm.iterations
    with pytest.raises(mf.InputError, match="start"):
        mf.solve(bank.sphere(8, 6, 9), norm, start=cold)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_a_start_far_away_does_no_harm(norm):
    problem = bank.sphere(4, 3, 12, 1)
    alone = mf.solve(problem, norm)
    for seed in (2, 3):
        other = mf.solve(bank.sphere(4, 3, 12, seed), norm)
        warm = mf.solve(problem, norm, start=other)
        assert warm.status is mf.SvmStatus.optimal
        assert warm.value == pytest.approx(alone.value, rel=2e-9)


def test_along_a_path_of_selections():
    problem = bank.sphere(5, 3, 20)
    start = None
    for token in range(3):
        selection = [token, 0, 1, 2, 0]
        start = mf.solve(problem, "l1", selection=selection, start=start)
        assert start.status is mf.SvmStatus.optimal
        assert start.value == pytest.approx(mf.solve(problem, "l1", selection=selection).value, rel=2e-9)


def test_a_start_may_be_the_solution_of_another_norm_but_not_of_another_model():
    problem = bank.sphere(4, 3, 10)
    warm = mf.solve(problem, "nuclear", start=mf.solve(problem, "frobenius"))
    assert warm.value == pytest.approx(mf.solve(problem, "nuclear").value, rel=2e-9)
    with pytest.raises(mf.InputError, match="beta"):
        mf.solve(problem, "l1", start=warm)

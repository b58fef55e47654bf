"""l1 and linf below their door: candidates beside SciPy's linear programs, vertices, split variables, neighbours."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from marginflow.norms import parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.svm.diagonal.l1 import L1
from marginflow.svm.diagonal.linear_program import solve_l1, solve_linf
from marginflow.svm.diagonal.vertex import highs, least_squares
from marginflow.svm.program import Svm


def rows_of(seed, C=7, d=4, spread=0):
    """Diagonal constraints with R beta >= 1, separable by construction, rows over `spread` decades."""
    draw = np.random.default_rng(seed)
    beta = draw.standard_normal(d)
    R = draw.standard_normal((C, d))
    R *= np.sign(R @ beta)[:, None] * 10.0 ** draw.uniform(-spread, spread, C)[:, None]
    return Constraints(R, np.arange(C), np.ones((C, d)))


def least(R, name):
    """The value by SciPy, with its own formulation."""
    C, d = R.shape
    if name == "l1":
        found = linprog(np.ones(2 * d), A_ub=-np.hstack([R, -R]), b_ub=-np.ones(C), bounds=(0, None))
    else:
        # t >= |beta_j|
        eye, one = np.eye(d), np.ones((d, 1))
        A = np.vstack([np.hstack([-R, np.zeros((C, 1))]), np.hstack([eye, -one]), np.hstack([-eye, -one])])
        b = np.concatenate([-np.ones(C), np.zeros(2 * d)])
        found = linprog(np.append(np.zeros(d), 1.0), A_ub=A, b_ub=b, bounds=(None, None))
    return found.fun


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("name", "solver"), [("l1", solve_l1), ("linf", solve_linf)])
def test_candidates_meet_scipys_value(name, solver, seed):
    rows, norm = rows_of(seed, spread=seed % 3), parse_norm(name)
    R = rows.diagonal
    found = solver(Svm(rows, norm), 1e-9)
    value = norm.value(found.W) / (R @ found.W).min()
    bound = found.dual.sum() / norm.dual_value(found.dual @ R)
    assert (found.dual >= 0).all()
    assert value == pytest.approx(least(R, name), rel=1e-7) == bound


@pytest.mark.parametrize("solver", [solve_l1, solve_linf])
def test_a_neighbour_with_the_same_vertex_costs_one_solve(solver):
    rows = rows_of(1)
    norm = parse_norm("l1" if solver is solve_l1 else "linf")
    first = solver(Svm(rows, norm), 1e-9)
    near = Constraints(rows.a * (1 + 1e-6), rows.sample, rows.z)
    again = solver(Svm(near, norm), 1e-9, start=first)
    assert again.iterations == {"vertex": 1} and "interior" in first.iterations
    fresh = solver(Svm(near, norm), 1e-9)
    assert norm.value(again.W) / near.margins(again.W).min() == pytest.approx(
        norm.value(fresh.W) / near.margins(fresh.W).min(), rel=1e-9
    )


@pytest.mark.parametrize("solver", [solve_l1, solve_linf])
def test_contradicting_rows_leave_a_ray(solver):
    """a and -a: the multipliers grow along a combination of the rows that vanishes."""
    a = np.array([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.0]])
    rows = Constraints(a, np.arange(3), np.ones((3, 2)))
    found = solver(Svm(rows, parse_norm("l1" if solver is solve_l1 else "linf")), 1e-9)
    ray = found.ray / found.ray.sum()
    assert np.abs(ray @ a).max() < 1e-6 and ray[:2].min() > 0.1


def test_split_variables_are_adjoint_and_their_normal_matrix_is_solved():
    """<A x, y> = <x, A'y>, and normal(D) applies (A D A')^-1 for the A written out."""
    draw = np.random.default_rng(0)
    R = draw.standard_normal((5, 3))
    program = L1(R, np.ones(5), np.zeros(5, dtype=bool))
    x, y, D = draw.random(11), draw.standard_normal(5), draw.random(11) + 0.1
    assert program.product(x) @ y == pytest.approx(x @ program.adjoint(y))
    A = np.array([program.product(e) for e in np.eye(11)]).T
    np.testing.assert_allclose(program.normal(D)(y), np.linalg.solve((A * D) @ A.T, y), rtol=1e-9)
    p, n, s = program.split(x)
    assert (len(p), len(n), len(s)) == (3, 3, 5)


@pytest.mark.parametrize("columns", [3, 6])
def test_rows_that_are_equalities_have_no_slack(columns):
    """The same with fewer variables, more rows than columns and fewer: both ways of factoring."""
    draw = np.random.default_rng(1)
    R, equal = draw.standard_normal((5, columns)), np.array([False, True, False, False, True])
    program, count = L1(R, np.ones(5), equal), 2 * columns + 3
    x, y, D = draw.random(count), draw.standard_normal(5), draw.random(count) + 0.1
    assert program.product(x) @ y == pytest.approx(x @ program.adjoint(y))
    A = np.array([program.product(e) for e in np.eye(count)]).T
    np.testing.assert_allclose(program.normal(D)(y), np.linalg.solve((A * D) @ A.T, y), rtol=1e-9)


def test_the_simplex_fallback_and_its_answer_to_an_infeasible_program():
    R, h = rows_of(3).diagonal, np.ones(7)
    free = np.zeros(7, dtype=bool)
    beta, y = L1(R, h, free).simplex()
    assert np.abs(beta).sum() == pytest.approx(least(R, "l1")) == pytest.approx(y.sum())
    G = np.array([[1.0, 0.0], [-1.0, 0.0]])
    none, no = highs(np.ones(2), G, np.ones(2), lambda x: x, equal=free[:2], least=-np.inf)
    assert not none.any() and not no.any()


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (0, 3)])
def test_least_squares_solves_what_can_be_solved(shape):
    draw = np.random.default_rng(4)
    E = draw.standard_normal(shape)
    target = E @ draw.standard_normal(shape[1])
    found = least_squares(E, target)
    assert found.shape == (shape[1],)
    np.testing.assert_allclose(E @ found, target, atol=1e-12)
    # Of all solutions the shortest; a singular square is no error.
    assert np.linalg.norm(found) <= np.linalg.norm(np.linalg.pinv(E) @ target) * (1 + 1e-9) + 1e-12
    assert np.isfinite(least_squares(np.ones((2, 2)), np.ones(2))).all()


def test_an_l1_vertex_by_enumeration():
    """Small enough to try every basis: the least of all vertices is the candidate's value."""
    rows = rows_of(5, C=4, d=2)
    R = rows.diagonal
    values = []
    for active in itertools.combinations(range(4), 2):
        beta = np.linalg.solve(R[list(active)], np.ones(2))
        if (R @ beta > 1 - 1e-9).all():
            values.append(np.abs(beta).sum())
    for c, j in itertools.product(range(4), range(2)):
        beta = np.zeros(2)
        beta[j] = 1.0 / R[c, j]
        if (R @ beta > 1 - 1e-9).all():
            values.append(np.abs(beta).sum())
    found = solve_l1(Svm(rows, parse_norm("l1")), 1e-9)
    assert np.abs(found.W).sum() / (R @ found.W).min() == pytest.approx(min(values), rel=1e-9)

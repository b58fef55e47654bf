"""The multipliers sought give the bound that a solver of the whole problem finds, and are believed by nobody."""

from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named
from marginflow.problem.constraints import Constraints
from marginflow.selection import optimal_margins
from marginflow.selection.optimal_margins import OptimalMargins


NORMS = ["nuclear", "frobenius", "l1", "l2"]


def trap(norm):
    """The SVM of a selection off the optimal tokens, and its better tokens."""
    problem = named.load("sphere:n=3,T=5,d=4,seed=1")
    selected = np.array([1, 1, 1])
    solution = mf.solve(problem, norm, 1e-9, selected, against="worse")
    assert solution.status is mf.SvmStatus.optimal
    return solution, problem.constraints(selected, against="better")


def referee(solution, better, b, reach, sign=1.0):
    """The least (or minus the largest) margin of `better` b over the set, by Clarabel."""
    own, norm = solution.constraints, solution.norm
    x = cp.Variable(own.shape[0] if norm.diagonal else own.shape)
    if norm.diagonal:
        margins, further = own.diagonal @ x, (better.a[b] * better.z[better.sample[b]]) @ x
    else:
        margins = cp.sum(cp.multiply(own.a @ x, own.queries), axis=1)
        further = better.a[b] @ x @ better.z[better.sample[b]]
    size = {"nuclear": cp.normNuc, "frobenius": lambda W: cp.norm(W, "fro"), "l1": cp.norm1, "l2": cp.norm2}[norm.name](
        x
    )
    program = cp.Problem(cp.Minimize(sign * further), [margins >= 1, size <= reach])
    return float(program.solve(solver="CLARABEL"))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("factor", [1.003, 1.2])
def test_the_bound_is_that_of_the_whole_problem(norm, factor):
    solution, better = trap(norm)
    reach = factor * solution.certificate.upper
    margins = OptimalMargins(solution, better, reach)
    for b in range(2):
        least = referee(solution, better, b, reach)
        near = 1e-3 * max(1.0, abs(least))
        assert least - near < margins.least_above(b, least - near) <= least + 1e-3 * near
        most = -referee(solution, better, b, reach, -1.0)
        assert most - 1e-3 * near <= margins.most_below(b, most + near) < most + near


def test_two_numbers_to_choose_are_not_enough():
    """What the multipliers of the SVM, stretched and shifted, leave open."""
    solution, better = trap("nuclear")
    reach = 1.2 * solution.certificate.upper
    margins = OptimalMargins(solution, better, reach)
    least = referee(solution, better, 0, reach)
    assert margins.least(0) < least - 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_any_multipliers_are_only_a_bound(norm, monkeypatch):
    solution, better = trap(norm)
    reach = 1.1 * solution.certificate.upper
    least = referee(solution, better, 0, reach)
    draw = np.random.default_rng(0)
    for scale in (0.1, 1.0, 10.0):
        made = scale * np.abs(draw.standard_normal(len(solution.dual)))
        monkeypatch.setattr(optimal_margins, "multipliers", lambda *_, found=made, **__: found)
        assert OptimalMargins(solution, better, reach).least_above(0, np.inf) <= least + 1e-6


def test_multipliers_below_zero_bound_nothing(monkeypatch):
    """Those of active constraints, of either sign, bound weights with margins there of exactly 1, not of at least 1."""
    solution, better = trap("frobenius")
    own, reach = solution.constraints, 2.0 * solution.certificate.upper
    active = solution.dual > 1e-6 * solution.dual.max()
    rows = (own.a[:, :, None] * own.queries[:, None, :]).reshape(len(own), -1)
    pull = np.outer(better.a[0], better.z[better.sample[0]])
    x = cp.Variable(len(own))
    bound = cp.sum(x) - reach * cp.norm(rows.T @ x - pull.ravel())
    cp.Problem(cp.Maximize(bound), [x[~active] >= 0]).solve(solver="CLARABEL")
    least, margins = referee(solution, better, 0, reach), OptimalMargins(solution, better, reach)
    assert x.value.min() < 0.0
    assert margins._certified(x.value, margins._pull(0, 1.0)) > least + 1e-2
    monkeypatch.setattr(optimal_margins, "multipliers", lambda *_, **__: x.value)
    assert margins.least_above(0, np.inf) <= least + 1e-6


def test_a_bound_is_below_the_exact_value_of_its_multipliers():
    """For l1 a sum and a largest coordinate, both in rationals: where all but rounding cancels, and far out."""
    solution, _ = trap("l1")
    own, reach = solution.constraints, 1e3 * solution.certificate.upper
    rows = np.flatnonzero(own.sample == own.sample[0])
    draw = np.random.default_rng(0)
    for _ in range(40):
        dual = np.zeros(len(own))
        dual[rows] = np.abs(draw.standard_normal(len(rows)))
        a = dual[rows] @ own.a[rows]
        margins = OptimalMargins(solution, Constraints(a[None], own.sample[:1], own.z, own.token[:1]), reach)
        bound = margins._certified(dual, margins._pull(0, 1.0))
        M = [
            sum((Fraction(float(dual[c])) * Fraction(float(own.a[c, j])) for c in rows), -Fraction(float(a[j])))
            * Fraction(float(own.z[own.sample[0], j]))
            for j in range(len(a))
        ]
        exact = sum(map(Fraction, dual.tolist())) - Fraction(float(reach)) * max(map(abs, M))
        assert Fraction(bound) <= exact


@pytest.mark.parametrize("power", [-200, 200])
def test_tokens_of_any_size_give_the_same_bound(power):
    problem = named.load("sphere:n=3,T=5,d=4,seed=1")
    scaled = mf.Problem(np.ldexp(problem.X, power), problem.z, problem.scores)
    found = []
    for p in (problem, scaled):
        solution = mf.solve(p, "nuclear", 1e-9, np.array([1, 1, 1]), against="worse")
        margins = OptimalMargins(solution, p.constraints([1, 1, 1], against="better"), 1.2 * solution.certificate.upper)
        found.append(margins.least_above(0, -1.0))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_a_search_ends_when_weights_of_the_set_have_a_smaller_margin():
    solution, better = trap("nuclear")
    reach = 1.2 * solution.certificate.upper
    margins = OptimalMargins(solution, better, reach)
    least = referee(solution, better, 0, reach)
    assert margins.least_above(0, least + 1.0) < least


def test_norms_without_a_barrier_keep_the_first_bound():
    solution, better = trap("operator")
    margins = OptimalMargins(solution, better, 1.2 * solution.certificate.upper)
    assert margins.least_above(0, 1e9) == margins.least(0)


def test_a_trap_of_keys_and_queries_that_the_first_bound_left_open_is_told():
    problem = named.load("sphere:n=6,T=8,d=10,seed=120")
    path = mf.integrate(problem, mf.KeyQuery(10), seed=0, scale=0.1, until_margin=1e6)
    assert path.status is mf.FlowStatus.trapped and 1.15 < path.verdict.better_margin < 1.18


def test_a_face_that_is_nearly_wider_bounds_margins_as_if_it_were():
    """The dual matrix is diag(1, 1 - 1e-4). On the face of 1 alone the square of what a better token has outside costs
    1e4 times the room in the norm: the bounds there are .76 and 1.14. The only optimum is e_1 e_1'."""
    near = np.sqrt(1.0 - 1e-4)
    tops = np.array([[1.0, near], [1.0, -near]])
    X = np.stack([tops, np.zeros((2, 2)), tops - [[0.95, 1.0], [5.0, 0.0]]], axis=1)
    problem = mf.Problem(X, tops, np.tile([1.0, 0.0, 2.0], (2, 1)))
    solution = mf.solve(problem, "nuclear", selection=[0, 0], against="worse")
    better = problem.constraints(np.zeros(2, dtype=int), against="better")
    margins = OptimalMargins(solution, better, solution.certificate.upper * (1.0 + 1e-6))
    assert 0.949 < margins.least(0) <= 0.95 + 1e-9 and 0.95 - 1e-9 <= margins.most(0) < 0.951

"""Unique, not unique with two certified optima, or undecided."""

import math
from fractions import Fraction

import numpy as np
import pytest
from small_problems import extreme_optima, whole_numbers

import bank
import marginflow as mf
from marginflow.norms import Lp
from marginflow.problem import planted
from marginflow.svm.optimum import linear, uniqueness
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify


def _certified(solution, W):
    weights = W.diagonal() if solution.norm.diagonal else W
    return certify(solution.svm, weights, solution.dual).certificate


@pytest.mark.parametrize(
    ("problem", "norm"),
    [
        (planted.orthogonal(2).problem, "nuclear"),
        (planted.orthogonal(7).problem, "nuclear"),
        (planted.angle(0.0).problem, "nuclear"),
        (planted.single().problem, "operator"),
        (planted.pairs(np.array([[1.0, 1.0]]), np.ones((1, 2))), "l1"),
        (planted.pairs(np.array([[1.0, 1.0, 1.0]]), np.ones((1, 3))), "l1"),
        (planted.pairs(np.array([[1.0, 0.0], [0.0, 2.0]]), np.ones((2, 2))), "linf"),
        (bank.sphere(3, 3, 6), "operator"),
    ],
)
def test_two_optima_are_shown_and_both_are_certified(problem, norm):
    solution = mf.solve(problem, norm)
    evidence = solution.uniqueness
    assert evidence.word == "not unique"
    assert solution.unique is False
    first, second = evidence.optima
    assert evidence.number > 1e-3
    assert np.linalg.norm(first - second) == pytest.approx(evidence.number * np.linalg.norm(solution.W))
    for W in (first, second):
        certificate = _certified(solution, W)
        assert certificate.gap <= 1e-9
        assert solution.constraints.margins(W).min() >= 1 - 1e-9


@pytest.mark.parametrize(
    ("problem", "norm"),
    [
        (planted.single().problem, "nuclear"),
        (planted.angle(0.5).problem, "nuclear"),
        (planted.spiked().problem, "nuclear"),
        (planted.sign_orbit().problem, "nuclear"),
        (planted.sign_orbit().problem, "l1"),
        (planted.orthogonal(3).problem, "l1"),
        (planted.orthogonal(3).problem, "linf"),
        (planted.angle(0.5).problem, "operator"),
        (bank.sphere(6, 8, 10), "nuclear"),
    ],
)
def test_unique_with_the_number(problem, norm):
    evidence = mf.solve(problem, norm).uniqueness
    assert evidence.word == "unique"
    assert evidence.number > 1e-5
    assert evidence.optima == ()


@pytest.mark.parametrize("norm", ["frobenius", "l2", "lp:1.5", "lp:3"])
def test_the_radius_of_strictly_convex_norms_holds(norm):
    """A coarse and a fine solution: the fine one lies within the radius of the coarse one."""
    constraints = bank.sphere(2, 3, 6, 4).constraints()
    fine = mf.solve(constraints, norm)
    assert fine.uniqueness.word == "unique"
    assert fine.uniqueness.number < 1e-4 * fine.value * 10
    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-4):
        W = fine.beta if fine.norm.diagonal else fine.W
        W = W + size * rng.standard_normal(W.shape) * np.abs(W).max()
        coarse = certify(Svm(constraints, fine.norm), W, fine.dual)
        if coarse.certificate.upper == np.inf:
            continue
        solution = mf.Solution(
            constraints,
            fine.norm,
            np.diag(coarse.W) if fine.norm.diagonal else coarse.W,
            coarse.dual,
            fine.norm.value(coarse.W),
            coarse.certificate,
            mf.SvmStatus.inaccurate,
            "made by hand",
            1e-9,
        )
        best = fine.beta if fine.norm.diagonal else fine.W
        assert fine.norm.value(coarse.W - best) <= solution.uniqueness.number


@pytest.mark.parametrize(
    "constraints",
    [
        mf.Constraints([[1.0, -1.0]], [0], [[2.0, 2.0]]),
        mf.Constraints([[1.0, 0.0], [1.0, 1.0]], [0, 1], [[1.0, 0.0], [1.0, -1.0]]),
    ],
    ids=["one sample", "segment"],
)
def test_equations_of_rounding_are_no_equations(constraints):
    """The free block is 1 x 1 and sees nothing: its rows are rounding, which made these optima unique until now."""
    solution = mf.solve(constraints, "operator")
    assert solution.unique is False
    for W in solution.uniqueness.optima:
        assert _certified(solution, W).gap <= 1e-9


def test_equations_that_are_small_are_still_equations():
    """Margins W_11 +- s^2 W_22 fix W_22 = 0; at s^2 = 1e-9 a walk along it stays within the gap for a while."""
    s = np.sqrt(1e-9)
    a, z = [[1.0, s], [1.0, -s], [1.0, s], [1.0, -s]], [[1.0, s], [1.0, s], [1.0, -s], [1.0, -s]]
    assert mf.solve(mf.Constraints(a, range(4), z), "operator", 1e-12).unique is not False


@pytest.mark.parametrize("norm", ["nuclear", "operator", "l1", "linf"])
def test_small_whole_numbers_against_another_solver(norm):
    said = 0
    for seed in range(16):
        constraints = whole_numbers(seed)
        solution = mf.solve(constraints, norm)
        if solution.status is not mf.SvmStatus.optimal or solution.unique is None:
            continue
        optima = extreme_optima(constraints, norm, solution.value)
        width = max(float(np.linalg.norm(V - W)) for V in optima for W in optima) / solution.value
        # Optima to 1e-7 of the norm are within about its root where there is one; flat ones of between are not judged.
        if width < 1e-3 or width > 0.05:
            said += 1
            assert solution.unique is (width < 1e-3), (seed, width, solution.uniqueness)
    assert said >= 6


def test_one_row_is_euclidean():
    """Where W is a column all matrix norms are the length, whatever the data nearly do."""
    for norm in ("nuclear", "operator"):
        evidence = mf.solve(planted.nearly_infeasible(1e-9).problem, norm).uniqueness
        assert evidence.unique is True and "Euclidean" in evidence.sentence


def test_whole_numbers_are_decided_in_rational_numbers():
    """Unperturbed the optimum of l1 is a segment, perturbed in the last bit a point: no tolerance may join the two."""
    for change, unique in ((0.0, False), (2.0**-30, True)):
        solution = mf.solve(mf.Constraints([[1.0, 1.0 + change]], [0], [[1.0, 1.0]]), "l1")
        assert solution.unique is unique, solution.uniqueness
    assert "rational" in mf.solve(mf.Constraints([[1.0, 1.0]], [0], [[1.0, 1.0]]), "l1").uniqueness.sentence


def test_the_equations_must_beat_what_the_dual_can_move():
    """A coarse solution's face is not the optimal one: nothing is said."""
    problem = bank.sphere(6, 8, 10)
    assert mf.solve(problem, "nuclear").unique is True
    assert mf.solve(problem, "nuclear", 1e-3).unique is None
    for seed in range(3):
        near = mf.solve(bank.sphere(4, 4, 8, seed), "nuclear").optimum
        needed = uniqueness._determined(near, near.face)[1]
        assert needed > near.dual_spread.matrix > 1e-9


def test_weights_of_very_different_size_are_one_vertex():
    """(1e-5, 1e5): the small weight is 1e-10 of the large one, and no rounding."""
    solution = mf.solve(mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.ones((2, 2))), "l1")
    assert solution.unique is True and solution.rank == 2


def test_optima_that_are_no_pair_are_not_rational_ones():
    """Feasible and simple, but longer than the multipliers show: (2, 2) where (1, 1)/2 is the optimum."""
    solution = mf.solve(mf.Constraints([[1.0, 1.0]], [0], [[1.0, 1.0]]), "l1")
    rows = [[Fraction(1), Fraction(1)]]
    largest = solution.svm.under(Lp(math.inf))
    assert linear._checked(solution.svm, rows, [Fraction(2), Fraction(2)], [Fraction(1)]) is None
    assert linear._checked(largest, rows, [Fraction(2), Fraction(2)], [Fraction(1, 2)]) is None
    assert linear.linear_optimum(solution.optimum) is not None


def test_unscaled_data_do_not_change_the_verdict():
    for scale in (1e-60, 1.0, 1e60):
        a = scale * np.array([[1.0, 0.0], [0.5, 0.8]])
        for norm in ("nuclear", "operator", "l1"):
            assert mf.solve(planted.pairs(a, np.eye(2)), norm).unique is True


def test_undecided_without_an_optimum():
    solution = mf.solve(mf.Constraints([[1.0, 0], [-1, 0]], [0, 0], [[1.0]]), "nuclear")
    assert solution.uniqueness.word == "undecided"
    assert solution.unique is None

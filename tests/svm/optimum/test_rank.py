"""The rank of every optimum: what is said is proved, what is not proved is not said."""

import numpy as np
import pytest
from small_problems import completion, extreme_optima, whole_numbers

import marginflow as mf
from marginflow.svm.optimum import rank
from marginflow.svm.optimum.exact import exact_kernel, exact_rank


def rows(a):
    return mf.Constraints(a, np.arange(len(a)), np.ones((len(a), len(a[0]))))


@pytest.mark.parametrize(
    ("constraints", "norm", "expected"),
    [
        (rows([[1.0, -1.0], [1.0, 0.0]]), "l2", 1),
        (rows([[1e5, 0.0], [0.0, 1e-5]]), "l1", 2),
        (rows([[1e5, 0.0], [0.0, 1e-5]]), "l2", 2),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.eye(2)), "frobenius", 2),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.ones((2, 2))), "frobenius", 1),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.ones((2, 2))), "nuclear", 1),
        (rows([[1.0, 1e-9]]), "l2", 2),
        (rows([[1.0, 1e-9]]), "linf", 2),
        (rows([[1.0, 1e-9]]), "l1", 1),
        (rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "lp:3", 2),
        (rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "linf", None),
    ],
)
def test_exact_answers(constraints, norm, expected):
    found = mf.solve(constraints, norm).rank_evidence
    assert found.rank == expected, found
    assert found.at_least <= (expected or found.at_least) <= found.at_most


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_completions_are_never_called_of_full_rank(n):
    """Every singular value of the dual is 1, the optimum is d d': full rank passed for free until now."""
    draw = np.random.default_rng(n)
    for diagonal in (np.ones(n), 2.0 ** draw.integers(-2, 3, n)):
        tree = [(int(draw.integers(0, j)), j) for j in range(1, n)]
        solution = mf.solve(completion(diagonal, tree), "nuclear")
        assert solution.value == pytest.approx((diagonal**2).sum(), rel=1e-8)
        assert solution.rank in (1, None) and solution.rank_evidence.at_least == 1
        assert solution.unique is not False


@pytest.mark.parametrize("norm", ["nuclear", "operator", "l1", "linf"])
def test_ranks_of_small_whole_numbers_against_optima_of_another_solver(norm):
    said = 0
    for seed in range(16):
        constraints = whole_numbers(seed)
        solution = mf.solve(constraints, norm)
        if solution.status is not mf.SvmStatus.optimal or solution.rank is None:
            continue
        said += 1
        for W in extreme_optima(constraints, norm, solution.value):
            s = np.linalg.svd(W, compute_uv=False) if W.ndim == 2 else np.abs(W)
            assert (s > 2e-4 * s.max()).sum() == solution.rank, (seed, s, solution.rank_evidence)
    assert said >= 4


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "l1", "l2", "linf", "operator"])
def test_the_radius_holds_every_optimum_and_the_spread_every_dual(norm):
    """A coarse solution's claims, against the fine one."""
    for seed in range(4):
        constraints = mf.Problem(
            np.random.default_rng(seed).standard_normal((3, 3, 4)),
            np.random.default_rng(seed + 50).standard_normal((3, 4)),
            np.random.default_rng(seed + 90).random((3, 3)),
        ).constraints()
        fine, coarse = mf.solve(constraints, norm, 1e-12), mf.solve(constraints, norm, 1e-4)
        near = coarse.optimum
        assert np.linalg.norm(near.svm.weights(fine.W) - near.weights) <= rank.distance(near) * (1 + 1e-9)
        if near.dual_spread is not None:
            moved = np.abs(fine.dual - coarse.dual) * near.lengths
            assert (moved <= near.dual_spread.rows + 1e-9).all()
            assert np.linalg.norm(fine.optimum.B - near.B) <= near.dual_spread.matrix + 1e-9


def test_a_dual_that_is_not_known_well_enough_bounds_nothing_above():
    """With the spread of the dual taken for zero the rank of a coarse solution would be stated."""
    problem = mf.load("sphere:n=6,T=8,d=10,seed=3")
    coarse = mf.solve(problem, "nuclear", 1e-2)
    assert coarse.certificate.gap > 1e-5
    assert coarse.rank is None and coarse.rank_evidence.at_most > coarse.rank_evidence.at_least
    assert mf.solve(problem, "nuclear").rank == 4


def test_rational_ranks_and_kernels():
    from fractions import Fraction as F

    assert exact_rank([[F(1), F(2)], [F(2), F(4)]]) == 1
    assert exact_rank([[F(1), F(2)], [F(2), F(4) + F(1, 10**40)]]) == 2
    assert exact_kernel([[F(1), F(1), F(0)], [F(2), F(2), F(0)]], 3) == [[-1, 1, 0], [0, 0, 1]]
    assert exact_kernel([], 1) == [[1]]

"""Theory 6.1 to 6.8 case by case: each closed form is where the flow ends, with its verdict."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named, planted
from marginflow.problem.random import equal


LIMIT = 1e6


def end(problem, kind, **options):
    """W over its least margin, at the end of a run that must reach the minimal loss."""
    path = mf.integrate(problem, kind, **{"until_margin": LIMIT} | options)
    assert path.status is mf.FlowStatus.minimal_loss, path.reason
    return path.W() / path.margin[-1]


def nuclear(W):
    return np.linalg.norm(W, "nuc")


def test_6_1_diagonal_weights_on_one_constraint():
    """c = (2, 1, .5): the l1 solution is a basis vector, the l2 one c / |c|^2."""
    c = np.array([2.0, 1.0, 0.5])
    problem = planted.pairs(c[None], np.ones((1, 3)))
    # The second coordinate of (k, q) falls behind as margin^(1/2 - 1) (theory 5.2).
    got = np.diag(end(problem, mf.DiagonalKeyQuery(), until_margin=1e10))
    assert got == pytest.approx([0.5, 0.0, 0.0], abs=1e-4)
    assert np.diag(end(problem, mf.Diagonal())) == pytest.approx(c / (c @ c), rel=3 / LIMIT)


@pytest.mark.parametrize("kind", [mf.KeyQuery(4), mf.Combined()], ids=lambda k: k.word)
def test_6_2_one_sample_ends_on_the_least_vector_times_its_query(kind):
    problem = equal(n=1, T=5, d=6, seed=2)
    W = end(problem, kind, until_margin=1e9)
    values = np.linalg.svd(W, compute_uv=False)
    assert values[1] < 1e-3 * values[0]
    # Both norms have one optimum, of rank one: w z' / |z|^2 with the least w (theory 6.2).
    for norm in ("nuclear", "frobenius"):
        solution = mf.solve(problem, norm)
        assert np.linalg.norm(W - solution.W) < 1e-3 * np.linalg.norm(solution.W)


def test_6_4_spiked_data_end_at_rank_one_against_rank_eight():
    family = planted.spiked(8, 0.25)
    n, c = 8, 0.25
    factors = end(family.problem, mf.KeyQuery(8), until_margin=1e10)
    assert nuclear(factors) == pytest.approx(n / np.sqrt(1 + (n - 1) * c), rel=1e-3)
    merged = end(family.problem, mf.Combined())
    assert nuclear(merged) == pytest.approx(np.sqrt(1 + (n - 1) * c) + (n - 1) * np.sqrt(1 - c), rel=1e-5)
    values = np.linalg.svd(merged, compute_uv=False)
    assert values[7] == pytest.approx(np.sqrt(1 - c), rel=1e-4)


def test_6_5_a_nearly_dead_direction_is_slow_and_gets_there():
    """Diagonal starts on sign-orbit data: 1e-3 of the right direction still looks stuck at 300 and is not."""
    problem = planted.sign_orbit().problem
    start = (np.diag([1e-3, 0.3]), np.diag([-5e-4, 0.1]))
    assert nuclear(end(problem, mf.KeyQuery(2), init=start, until_margin=300.0)) > 0.9
    assert nuclear(end(problem, mf.KeyQuery(2), init=start, until_margin=1e10)) == pytest.approx(0.5, abs=1e-3)


def test_6_5_hadamard_data_diagonal_factors_are_the_diagonal_flow():
    problem = planted.hadamard().problem
    rng = np.random.default_rng(0)
    k, q = 0.3 * rng.standard_normal((2, 4))
    full = mf.integrate(problem, mf.KeyQuery(4), init=(np.diag(k), np.diag(q)), until_margin=300.0, rtol=1e-8)
    thin = mf.integrate(problem, mf.DiagonalKeyQuery(), init=(k, q), until_margin=300.0, rtol=1e-8)
    assert full.status is thin.status is mf.FlowStatus.minimal_loss
    assert np.linalg.norm(full.W() - thin.W()) <= 20 * 1e-8 * np.linalg.norm(thin.W())
    assert full.log_time[-1] == pytest.approx(thin.log_time[-1], rel=20 * 1e-8)
    assert nuclear(full.W()) / full.margin[-1] >= mf.solve(problem, "nuclear").value * (1 - 1e-9)


def test_6_5_a_coordinate_that_only_carries_the_score_stays_inert():
    problem = planted.sign_orbit().problem
    X = np.concatenate([problem.X, problem.scores[..., None]], axis=2)
    z = np.concatenate([problem.z, np.zeros((4, 1))], axis=1)
    wide = mf.Problem.from_head(X, z, np.ones(4), np.array([0.0, 0.0, 1.0]))
    start = np.zeros((3, 3))
    W = end(wide, mf.Combined(), init=start)
    assert (W[:, 2] == 0).all() and np.abs(W[2]).max() < 1e-12
    assert W[:2, :2] == pytest.approx(np.diag([0.4, 0.2]), abs=1e-5)


def test_6_6_aligned_starts_end_on_the_identity_and_unequal_strengths_on_their_own():
    aligned = mf.KeyQuery(2).aligned(np.eye(2), np.eye(2), [0.3, 0.2], [0.1, 0.4])
    got = end(planted.orthogonal(2).problem, mf.KeyQuery(2), init=aligned)
    assert got == pytest.approx(np.eye(2), abs=1e-4) and got[0, 1] == got[1, 0] == 0
    got = end(planted.orthogonal(2, 2.0).problem, mf.KeyQuery(2), init=aligned)
    assert got == pytest.approx(np.diag([1.0, 0.5]), abs=1e-4)


@pytest.mark.parametrize("w", [0.158, 0.5, 1.0, 5.0])
def test_6_8_the_finite_trap_holds_its_excess(w):
    init = np.array([[w, 0.0], [0.0, 0.0]])
    path = mf.integrate(named.load("trap:finite"), mf.Combined(), init=init)
    assert path.status is mf.FlowStatus.trapped and path.verdict.wrong == ((0, 1),)
    assert np.exp(path.log_excess[-1]) == pytest.approx(np.exp(-0.9) - np.exp(-1.0), rel=1e-9)


@pytest.mark.parametrize("w, reaches", [(0.15789, True), (0.15790, False)])
def test_6_8_the_barrier_is_where_theory_puts_it(w, reaches):
    """The unstable point is w = 0.1578953: starts within 5e-6 of it go to their own sides, once rtol resolves that."""
    start = np.array([[w, 0.0], [0.0, 0.0]])
    path = mf.integrate(named.load("trap:finite"), mf.Combined(), init=start, rtol=1e-8)
    assert path.status is (mf.FlowStatus.minimal_loss if reaches else mf.FlowStatus.trapped)

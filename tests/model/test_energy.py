"""What bounds the norm of W by its parameters, imbalance included (docs/attractors.md 2)."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import marginflow as mf
from marginflow.model.energy import imbalance_of_coordinates, imbalance_of_matrices
from marginflow.problem import named
from one_head import confine_one


def nuclear(W):
    return np.linalg.norm(W, "nuc")


def test_no_weights_have_a_larger_norm_than_their_parameters_allow():
    draw = np.random.default_rng(0)
    for _ in range(200):
        d, d_z, m = draw.integers(1, 6, 3)
        K, Q = draw.standard_normal((d, m)) * 10.0 ** draw.uniform(-2, 2), draw.standard_normal((d_z, m))
        bound = mf.KeyQuery(int(m)).norm_bound({"K": K, "Q": Q})
        assert nuclear(K @ Q.T) <= bound * (1 + 1e-13) and bound <= ((K**2).sum() + (Q**2).sum()) / 2 * (1 + 1e-13)
        k, q = draw.standard_normal((2, d))
        assert np.abs(k * q).sum() <= mf.DiagonalKeyQuery().norm_bound({"k": k, "q": q})


@pytest.mark.parametrize("factor", [1.0, 3.0, 50.0])
def test_the_bound_is_met_where_one_factor_is_a_multiple_of_the_other(factor):
    Q = np.random.default_rng(1).standard_normal((4, 3))
    bound = mf.KeyQuery(3).norm_bound({"K": factor * Q, "Q": Q})
    assert bound == pytest.approx(nuclear(factor * Q @ Q.T), rel=1e-9)
    k = Q[:, 0]
    assert mf.DiagonalKeyQuery().norm_bound({"k": factor * k, "q": k}) == pytest.approx(factor * (k @ k), rel=1e-9)


def test_imbalance_is_rounded_down():
    """Factors so near to each other that the difference of their squares is mostly rounding."""
    draw = np.random.default_rng(2)
    for _ in range(200):
        k = draw.standard_normal(5)
        q = k * (1.0 + 1e-15 * draw.standard_normal(5))
        exact = [Fraction(float(a)) ** 2 - Fraction(float(b)) ** 2 for a, b in zip(k, q, strict=True)]
        assert imbalance_of_coordinates(k, q) <= sum(map(abs, exact))
        assert imbalance_of_matrices(k[:, None], q[:, None]) <= abs(sum(exact))


def test_imbalance_is_found_where_there_is_some():
    draw = np.random.default_rng(3)
    K, Q = draw.standard_normal((5, 4)), draw.standard_normal((6, 4))
    exact = np.abs(np.linalg.eigvalsh(K.T @ K - Q.T @ Q)).sum()
    assert exact * (1 - 1e-12) <= imbalance_of_matrices(K, Q) <= exact * (1 + 1e-14)


@pytest.mark.parametrize("model", [mf.KeyQuery(4), mf.DiagonalKeyQuery(), mf.Combined()])
def test_the_bound_over_the_margin_never_rises_on_a_run(model):
    """From an unbalanced start, as long as every better token is behind: none is better than the optimal ones."""
    problem = named.load("equal:n=1,T=6,d=4,seed=1")
    path = mf.integrate(problem, model, seed=0, scale=5.0, until_margin=2e3, rtol=1e-7)
    assert path.status is mf.FlowStatus.minimal_loss
    solution = mf.solve(problem, model.flow_norm)
    slope = -problem.scores[np.arange(problem.n), problem.optimal]
    reach = []
    for k in range(len(path)):
        W = path.W(k)
        margins = solution.constraints.margins(W)
        if margins.min() > 30.0:
            within = confine_one(problem, model, path.parameters(k), solution, problem.optimal, slope, margins)
            reach.append(within.reach)
    assert len(reach) > 5 and reach[0] > 1.01 * reach[-1]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(reach))

"""The least Euclidean norm, below its door: beside every active set in turn, and NNLS on its dual."""

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from marginflow.norms import parse_norm
from marginflow.problem.random import sphere
from marginflow.svm.euclidean.goldfarb_idnani import least_norm
from marginflow.svm.euclidean.solve_euclidean import solve_euclidean
from marginflow.svm.program import Svm


def unit(R):
    return R / np.linalg.norm(R, axis=1, keepdims=True)


def by_enumeration(R, h):
    """The least w with R w >= h: over all active sets, the shortest point that is feasible."""
    best = np.inf
    for k in range(1, R.shape[1] + 1):
        for active in itertools.combinations(range(len(R)), k):
            J = list(active)
            w = np.linalg.pinv(R[J]) @ h[J]
            if (R @ w >= h - 1e-9).all():
                best = min(best, float(w @ w))
    return np.sqrt(best)


@pytest.mark.parametrize("seed", range(8))
def test_every_active_set_in_turn(seed):
    draw = np.random.default_rng(seed)
    w = draw.standard_normal(3)
    R = unit(draw.standard_normal((6, 3)))
    R *= np.sign(R @ w)[:, None]
    h = draw.uniform(0.2, 5.0, 6)
    found = least_norm(R, h)
    assert found.ray is None and (R @ found.w >= h * (1 - 1e-12)).all() and (found.dual >= 0).all()
    assert np.linalg.norm(found.w) == pytest.approx(by_enumeration(R, h), rel=1e-10)
    np.testing.assert_allclose(found.dual @ R, found.w, atol=1e-12)
    assert (found.dual * (R @ found.w - h)).max() < 1e-10


def test_dependent_and_repeated_rows():
    """Twice the same row, and one that is a sum of two others: multipliers are not unique, the minimiser is."""
    R = unit(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
    h = np.array([1.0, 1.0, 2.0, 3.0 / np.sqrt(2.0)])
    found = least_norm(R, h)
    np.testing.assert_allclose(found.w, [1.0, 2.0, 0.0], atol=1e-13)
    np.testing.assert_allclose(found.dual @ R, found.w, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_contradicting_rows_give_a_ray(seed):
    """A nonnegative combination of the rows that vanishes: no w is on the right side of all."""
    draw = np.random.default_rng(seed)
    R = unit(draw.standard_normal((4, 3)))
    R = np.vstack([R, unit((-(draw.random(4) + 0.1) @ R)[None])])
    found = least_norm(R, np.ones(5))
    assert found.ray is not None and (found.ray >= 0).all() and found.ray.max() > 0
    np.testing.assert_allclose(found.ray @ R, 0.0, atol=1e-10)


def test_steps_are_an_upper_limit():
    R = unit(np.random.default_rng(0).standard_normal((5, 5)))
    found = least_norm(R, np.ones(5), steps=1)
    assert found.steps == 1


@pytest.mark.parametrize("norm", ["frobenius", "l2"])
@pytest.mark.parametrize("seed", range(3))
def test_the_dual_is_a_nonnegative_least_squares_problem(norm, seed):
    """min |w| with R w >= 1 has w = R'y / ..., y of the shortest convex combination of the rows (Gilbert 1966)."""
    svm = Svm(sphere(n=3, T=4, d=6, seed=seed).constraints(), parse_norm(norm))
    if norm == "l2" and np.linalg.matrix_rank(svm.constraints.diagonal) < 6:
        pytest.fail("the draw is degenerate")
    c = svm.constraints
    R = c.diagonal if norm == "l2" else (c.a[:, :, None] * c.queries[:, None, :]).reshape(len(svm), -1)
    # min |R'y|^2 with sum y = 1, by NNLS with that equation weighted; 0 where the rows contradict each other.
    heavy = 1e4
    y, _ = nnls(np.vstack([R.T, heavy * np.ones(len(R))]), np.append(np.zeros(R.shape[1]), heavy))
    shortest = float(np.linalg.norm(R.T @ (y / y.sum())))
    found = solve_euclidean(svm, 1e-9)
    margin = float((R @ found.W.ravel()).min())
    if shortest < 1e-6:
        assert margin <= 1e-6 * np.linalg.norm(found.W)
        return
    assert np.linalg.norm(found.W) / margin == pytest.approx(1.0 / shortest, rel=1e-5)

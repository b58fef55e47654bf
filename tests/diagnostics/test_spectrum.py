"""Spectra: the closed forms of rho, ranks, Wedin's bound against real perturbations, attention."""

import numpy as np
import pytest

from marginflow.diagnostics.spectrum import (
    attention,
    attention_entropy,
    direction_errors,
    dual_spectrum,
    effective_rank,
    stable_rank,
)
from marginflow.problem.planted import angle, sign_orbit, spiked
from marginflow.problem.problem import Problem


@pytest.mark.parametrize("c", [0.1, 0.5])
def test_rho_of_the_angle_family(c: float) -> None:
    found = dual_spectrum(angle(c).problem.constraints().adjoint(np.ones(2)))
    assert found.support == 1
    assert found.slowest == pytest.approx(np.sqrt((1 - c) / (1 + c)), abs=1e-14)
    assert found.powers() == pytest.approx([found.slowest - 1])


def test_rho_of_the_spiked_and_sign_orbit_families() -> None:
    n, c = 5, 0.4
    found = dual_spectrum(spiked(n, c).problem.constraints().adjoint(np.ones(n)))
    assert found.rho[1:] == pytest.approx(np.full(n - 1, np.sqrt((1 - c) / (1 + (n - 1) * c))), abs=1e-14)
    assert dual_spectrum(sign_orbit().problem.constraints().adjoint(np.ones(4))).slowest == 0.5


def test_components_are_the_diagonal_in_the_dual_bases() -> None:
    B = np.diag([3.0, 1.0])
    W = np.array([[5.0, 7.0], [8.0, 2.0]])
    found = dual_spectrum(B)
    assert found.components(W) == pytest.approx([5.0, 2.0])
    assert found.rho @ found.components(W) == pytest.approx((W * B).sum() / 3)
    assert dual_spectrum(np.eye(3)).slowest == 0.0


def test_ranks() -> None:
    assert effective_rank(np.array([2.0, 2.0, 2.0])) == pytest.approx(3.0)
    assert effective_rank(np.array([5.0, 0.0])) == 1.0
    assert effective_rank(np.zeros(2)) == 0.0
    assert stable_rank(np.array([2.0, 1.0])) == 1.25
    assert stable_rank(np.zeros(2)) == 0.0


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
def test_direction_errors_bound_what_a_perturbation_does(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(3)
    left, _, right = np.linalg.svd(draw.standard_normal(shape), full_matrices=False)
    s = np.array([4.0, 3.9, 1.0, 1.0])[: min(shape)]
    W = (left * s) @ right
    error = 1e-3
    bound = direction_errors(s, error, square=shape[0] == shape[1])
    for _ in range(20):
        E = draw.standard_normal(shape)
        near_left, _, near_right = np.linalg.svd(W + E * (error / np.linalg.norm(E, 2)))[:3]
        for j, limit in enumerate(bound):
            if limit < 1:
                for old, new in ((left[:, j], near_left[:, j]), (right[j], near_right[j])):
                    assert np.linalg.norm(old - new * (new @ old)) <= limit + 1e-14
    if min(shape) == 4:
        # A repeated singular value has no direction of its own.
        assert bound[2] == bound[3] == 1.0


def test_attention_ignores_padding() -> None:
    draw = np.random.default_rng(0)
    X = [draw.standard_normal((t, 3)) for t in (2, 4)]
    problem = Problem(X, draw.standard_normal((2, 3)), [[1.0, 0.0], [0.0, 2.0, 1.0, 0.5]])
    W = draw.standard_normal((3, 3))
    p = attention(problem, W)
    assert p.sum(axis=1) == pytest.approx(1.0) and (p[0, 2:] == 0).all()
    logits = X[1] @ W @ problem.z[1]
    assert p[1] == pytest.approx(np.exp(logits) / np.exp(logits).sum())
    assert attention_entropy(problem, np.zeros(3)) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert attention_entropy(problem, 1e200 * W) == 0.0

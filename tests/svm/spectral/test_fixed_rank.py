"""Weights of low rank whose last digits interior points leave open."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.spectral.fixed_rank import on_fixed_rank


def test_sentences_meet_the_tolerance_with_room():
    """Degenerate multipliers: without the step at fixed rank this ends at 1e-9, on the border of what is asked."""
    solution = mf.solve("sentences", "nuclear")
    assert solution.status is mf.SvmStatus.optimal and solution.certificate.gap < 2e-10


@pytest.fixture
def disturbed():
    problem = mf.load("sphere:n=4,T=4,d=8,seed=2")
    solution = mf.solve(problem, "nuclear", 1e-12)
    reduced = presolve(solution.constraints)
    binding = np.flatnonzero(solution.dual > 1e-6)
    return reduced.operator, reduced.reduce(solution.W), binding


def test_binding_margins_become_equal_and_the_norm_stays(disturbed):
    A, W, binding = disturbed
    noise = np.random.default_rng(0).standard_normal(W.shape)
    near = W + 1e-7 * np.linalg.norm(W) * noise / np.linalg.norm(noise)
    found = on_fixed_rank(A, near, binding)
    assert np.abs(A.margins(found)[binding] / A.h[binding] - 1.0).max() < 1e-13
    assert np.linalg.norm(found, "nuc") / np.linalg.norm(W, "nuc") - 1.0 < 1e-12
    assert np.linalg.matrix_rank(found, 1e-10) == np.linalg.matrix_rank(W, 1e-6)


def test_no_rank_no_step(disturbed):
    A, W, binding = disturbed
    assert on_fixed_rank(A, np.eye(*W.shape), binding) is None
    assert on_fixed_rank(A, np.zeros(W.shape), binding) is None

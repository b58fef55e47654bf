"""The scaled operator against the constraints it stands for."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.svm.scaling.operator import batched
from marginflow.svm.scaling.presolve import presolve


def _constraints(seed, C, d, d_z, n, spread=0.0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((C, d)) * 10.0 ** rng.uniform(-spread, spread, (C, 1))
    # squared uniform indices: some samples have many constraints, some have none
    sample = np.sort((rng.random(C) ** 2 * n).astype(int))
    return mf.Constraints(a, sample, rng.standard_normal((n, d_z)))


SHAPES = [(1, 1, 1, 1), (5, 9, 4, 3), (60, 3, 8, 5), (40, 6, 6, 12), (200, 4, 3, 7), (30, 5, 5, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_margins_and_adjoint_are_the_users(shape, spread):
    C, d, d_z, n = shape
    constraints = _constraints(0, C, d, d_z, n, spread)
    reduced = presolve(constraints)
    rng = np.random.default_rng(1)
    W, dual = rng.standard_normal((d, d_z)), rng.random(C)
    A = reduced.operator
    assert np.log(A.h).mean() == pytest.approx(0.0, abs=1e-12)
    theirs = constraints.margins(W)
    np.testing.assert_allclose(
        A.margins(reduced.reduce(W)) / A.h, theirs, rtol=1e-11, atol=1e-13 * np.abs(theirs).max()
    )
    B = constraints.adjoint(reduced.restore_dual(dual))
    kept = reduced.restore(A.adjoint(dual)) * reduced.scale.unit
    np.testing.assert_allclose(kept, B, atol=1e-13 * np.abs(B).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_reductions_drop_only_what_no_constraint_sees(shape):
    C, d, d_z, n = shape
    reduced = presolve(_constraints(2, C, d, d_z, n))
    assert reduced.operator.shape[0] == min(C, d)
    assert reduced.operator.shape[1] == min(n, d_z)
    W = np.random.default_rng(0).standard_normal(reduced.operator.shape)
    np.testing.assert_allclose(
        np.linalg.svd(reduced.restore(W) * reduced.scale.unit, compute_uv=False)[: min(W.shape)],
        np.linalg.svd(W, compute_uv=False),
        rtol=1e-13,
        atol=1e-14,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint_is_the_transpose_and_restrict_keeps_rows(shape):
    C, d, d_z, n = shape
    A = presolve(_constraints(3, C, d, d_z, n)).operator
    rng = np.random.default_rng(4)
    W, dual = rng.standard_normal(A.shape), rng.standard_normal(C)
    assert A.margins(W) @ dual == pytest.approx(np.vdot(W, A.adjoint(dual)), rel=1e-11, abs=1e-12)
    keep = np.flatnonzero(rng.random(C) < 0.5)
    if len(keep):
        np.testing.assert_allclose(A.restrict(keep).margins(W), A.margins(W)[keep], atol=1e-14)


@pytest.mark.parametrize("C", [100, 300])
def test_bound_is_the_spectral_norm(C):
    A = presolve(_constraints(5, C, 6, 5, 11)).operator
    rows = (A.a[:, :, None] * A.queries[A.sample][:, None, :]).reshape(C, -1)
    assert A.bound() == pytest.approx(np.linalg.norm(rows, 2), rel=0.02)


def test_bound_sees_what_a_symmetric_start_does_not():
    # A* 1 is orthogonal to the top singular direction here; a power iteration from it missed half of ||A||.
    a = np.array([[1.0, 0.1], [-1.0, 0.1]] * 80)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    A = batched(a, np.zeros(160, dtype=int), np.ones((1, 1)), np.ones(160))
    assert A.bound() == pytest.approx(np.linalg.norm(a, 2), rel=1e-6)


def test_a_query_without_constraints_is_left_out():
    constraints = mf.Constraints([[1.0, 0.0], [0.0, 2.0]], [0, 2], [[1.0, 0], [0, 0], [0, 1.0]])
    A = presolve(constraints).operator
    assert len(A.queries) == 2
    assert np.isfinite(A.margins(np.eye(2))).all()

"""Row scaling, one convention: margins, multipliers and values go there and back; zero rows are found before."""

import numpy as np
import pytest

from marginflow.problem.constraints import Constraints
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.scaling.unit_rows import Scale, unit_rows, zero_row


def constraints(seed=0, spread=8, C=9, d=4, d_z=3, n=4):
    draw = np.random.default_rng(seed)
    a = draw.standard_normal((C, d)) * 10.0 ** draw.uniform(-spread, spread, C)[:, None]
    z = draw.standard_normal((n, d_z)) * 10.0 ** draw.uniform(-spread, spread, n)[:, None]
    return Constraints(a, np.sort(draw.integers(n, size=C)), z)


@pytest.mark.parametrize("diagonal", [False, True])
def test_rows_have_length_one_and_every_number_goes_back(diagonal):
    c = constraints(d_z=4) if diagonal else constraints()
    rows = unit_rows(c, diagonal)
    R = rows.written_out()
    np.testing.assert_allclose(np.linalg.norm(R, axis=1), 1.0, rtol=1e-12)
    draw = np.random.default_rng(1)
    W, dual = draw.standard_normal(c.shape[:1] if diagonal else c.shape), draw.random(len(c))
    w = rows.scale.reduce(W).ravel()
    # m_c >= 1 for the user is r_c'w >= h_c here.
    np.testing.assert_allclose(
        rows.margins(w) / rows.h, c.margins(W), rtol=1e-9, atol=1e-9 * np.abs(c.margins(W)).max()
    )
    np.testing.assert_allclose(rows.scale.restore(rows.scale.reduce(W)), W, rtol=1e-14)
    np.testing.assert_allclose(rows.scale.restore_dual(rows.scale.reduce_dual(dual)), dual, rtol=1e-13)
    user = c.diagonal.T @ dual if diagonal else c.adjoint(dual)
    here = rows.adjoint(rows.scale.reduce_dual(dual)).reshape(user.shape)
    np.testing.assert_allclose(here, user, rtol=1e-9, atol=1e-9 * np.abs(user).max())
    assert np.exp(np.log(rows.h).mean()) == pytest.approx(1.0)
    np.testing.assert_allclose(rows.gram(), R @ R.T, atol=1e-12)


def test_products_of_lengths_do_not_overflow():
    """Lengths of 1e200 and 1e-200 together: their mean is taken in logarithms."""
    scale = Scale.of(np.array([1e200, 1e-200]), np.array([1e90, 1e-100]))
    assert np.isfinite(scale.size).all() and scale.unit == pytest.approx(1e-5)
    assert scale.restrict(np.array([1])).size.tolist() == [scale.size[1]]


def test_presolve_keeps_norms_and_duality():
    """Few rows in many dimensions: W~ is smaller, N(W~)/unit = N(W), margins and dual matrices agree."""
    c = constraints(C=3, d=7, d_z=6, n=2, spread=2)
    small = presolve(c)
    draw = np.random.default_rng(2)
    W = draw.standard_normal(small.operator.shape)
    big = small.restore(W)
    np.testing.assert_allclose(small.operator.margins(W) / small.operator.h, c.margins(big), rtol=1e-10)
    s = np.linalg.svd(big, compute_uv=False)
    t = np.linalg.svd(W / small.scale.unit, compute_uv=False)
    np.testing.assert_allclose(s[: len(t)], t, rtol=1e-10)
    assert (s[len(t) :] < 1e-12 * s[0]).all()
    np.testing.assert_allclose(small.reduce(big), W, rtol=1e-10)
    dual = draw.random(len(c))
    inside = small.operator.adjoint(small.reduce_dual(dual))
    np.testing.assert_allclose(
        np.linalg.svd(inside, compute_uv=False), np.linalg.svd(c.adjoint(dual), compute_uv=False)[: min(inside.shape)]
    )


def test_zero_rows_are_found_factor_by_factor():
    """(1, 0) o (0, 1) vanishes although neither factor does; 1e-90 squared underflows and is no zero row."""
    a, z = np.array([[1.0, 0.0], [1e-90, 0.0]]), np.array([[0.0, 1.0], [1e-90, 1.0]])
    rows = Constraints(a, [0, 1], z)
    assert zero_row(rows, True) == 0 and zero_row(rows, False) is None
    assert zero_row(rows.restrict(np.array([1])), True) is None
    assert zero_row(Constraints([[0.0, 0.0]], [0], [[1.0, 2.0]]), False) == 0

"""The rank-one operator agrees with the matrices it never forms."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf


@st.composite
def constraint_sets(draw):
    n, C, d, d_z = (draw(st.integers(1, k)) for k in (4, 8, 4, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return mf.Constraints(rng.standard_normal((C, d)), rng.integers(n, size=C), rng.standard_normal((n, d_z)))


def dense(rows: mf.Constraints):
    return np.array([np.outer(a, rows.z[i]) for a, i in zip(rows.a, rows.sample)])


@settings(deadline=None, derandomize=True, max_examples=50)
@given(constraint_sets(), st.integers(0, 2**32))
def test_operator_equals_dense_matrices(rows, seed):
    draw = np.random.default_rng(seed)
    W, dual = draw.standard_normal(rows.shape), draw.random(len(rows))
    A = dense(rows)
    np.testing.assert_allclose(rows.margins(W), np.tensordot(A, W, 2), atol=1e-13)
    np.testing.assert_allclose(rows.adjoint(dual), np.tensordot(dual, A, 1), atol=1e-13)
    np.testing.assert_allclose(rows.gram(), np.einsum("cij,eij->ce", A, A), atol=1e-12)
    assert abs(np.vdot(rows.adjoint(dual), W) - dual @ rows.margins(W)) < 1e-12


def test_diagonal_rows_are_the_diagonals():
    draw = np.random.default_rng(0)
    rows = mf.Constraints(draw.standard_normal((5, 3)), [0, 1, 1, 0, 1], draw.standard_normal((2, 3)))
    beta = draw.standard_normal(3)
    np.testing.assert_allclose(rows.margins(beta), rows.margins(np.diag(beta)), atol=1e-14)
    np.testing.assert_allclose(rows.diagonal, [np.diag(A) for A in dense(rows)])


def test_diagonal_needs_equal_dimensions():
    rows = mf.Constraints(np.ones((1, 3)), [0], np.ones((1, 2)))
    with pytest.raises(mf.UndefinedError, match="3 and queries in 2"):
        _ = rows.diagonal


def test_restrict_keeps_tokens_and_queries():
    rows = mf.Constraints(np.arange(6.0).reshape(3, 2) + 1, [0, 1, 1], np.ones((2, 2)), [4, 5, 6])
    kept = rows.restrict(np.array([True, False, True]))
    assert kept.token.tolist() == [4, 6]
    assert kept.sample.tolist() == [0, 1]


@pytest.mark.parametrize(
    "a, sample, z, words",
    [
        (np.ones((2, 2)), [0], np.ones((1, 2)), "one sample"),
        (np.ones((2, 2)), [0, 1], np.ones((1, 2)), "0..0"),
        (np.full((1, 2), 1e-200), [0], np.ones((1, 2)), "1e-100"),
        (np.full((1, 2), np.nan), [0], np.ones((1, 2)), "finite"),
    ],
)
def test_bad_constraints(a, sample, z, words):
    with pytest.raises(mf.InputError, match=words):
        mf.Constraints(a, sample, z)


def test_rows_given_in_any_order_keep_their_tokens():
    """Rows are sorted by sample; a row, its sample and its token stay together."""
    a = np.arange(8.0).reshape(4, 2)
    rows = mf.Constraints(a, [2, 0, 2, 1], np.ones((3, 2)), [7, 8, 9, 5])
    assert rows.sample.tolist() == [0, 1, 2, 2] and rows.token.tolist() == [8, 5, 7, 9]
    assert rows.a.tolist() == a[[1, 3, 0, 2]].tolist()


def test_heads_are_blocks_of_one_large_problem():
    draw = np.random.default_rng(3)
    a, sample, z = draw.standard_normal((7, 3)), [0, 0, 1, 1, 2, 3, 3], draw.standard_normal((4, 2))
    head = np.array([2, 0, 0, 2, 2, 0, 2])
    rows = mf.Constraints(a, sample, z, head=head)
    W, dual = draw.standard_normal((3, 3, 2)), draw.standard_normal(7)
    A = np.zeros((7, 3, 3, 2))
    A[np.arange(7), head] = dense(rows)
    assert rows.heads == 3
    np.testing.assert_allclose(rows.margins(W), np.tensordot(A, W, 3), atol=1e-13)
    np.testing.assert_allclose(rows.adjoint(dual), np.tensordot(dual, A, 1), atol=1e-13)
    np.testing.assert_allclose(rows.gram(), np.einsum("chij,ehij->ce", A, A), atol=1e-12)
    assert [own.tolist() for own, _ in rows.per_head] == [[1, 2, 5], [], [0, 3, 4, 6]]
    diagonal = mf.Constraints(a, sample, z @ draw.standard_normal((2, 3)), head=head)
    beta = draw.standard_normal((3, 3))
    np.testing.assert_allclose(diagonal.margins(beta), diagonal.margins(np.array([np.diag(b) for b in beta])))


def test_kinds_follow_their_rows():
    rows = mf.Constraints(np.eye(3), [1, 0, 1], np.ones((2, 1)), equal=[True, False, False], head=[1, 0, 0])
    assert rows.level.tolist() == [1.0, 0.0, 1.0] and rows.equal.tolist() == [False, True, False]
    assert not rows.plain and mf.Constraints(np.eye(2), [0, 0], np.ones((1, 1))).plain
    kept = rows.restrict(np.array([1, 2]))
    assert (kept.level.tolist(), kept.equal.tolist(), kept.head.tolist(), kept.heads) == (
        [0.0, 1.0],
        [True, False],
        [1, 0],
        2,
    )
    assert "2 heads" in repr(rows) and "1 of them equalities" in repr(rows)


@pytest.mark.parametrize(
    "kinds, words",
    [
        ({"level": [1.0, 2.0]}, "expected 1 or 0"),
        ({"level": [1.0]}, "one number per row"),
        ({"level": [1.0, 1.0], "equal": [False, True]}, "an equality"),
        ({"equal": [0, 1]}, "True or False"),
        ({"head": [0, -1]}, "heads in 0"),
        ({"head": [0, 2], "heads": 2}, "heads in 0..1"),
        ({"head": [0.5, 0.0]}, "integers"),
    ],
)
def test_bad_kinds_are_refused(kinds, words):
    with pytest.raises(mf.InputError, match=words):
        mf.Constraints(np.eye(2), [0, 0], np.ones((1, 1)), **kinds)


def test_no_heads_are_refused():
    with pytest.raises(mf.InputError, match="heads: got 0; expected at least 1"):
        mf.Constraints([[1.0]], [0], [[1.0]], heads=0)

"""Blocks of constraints of one query, against the Gram matrix of all rows written out."""

import numpy as np
import pytest
from peers import unit_sphere

from marginflow.svm.scaling import query_blocks
from marginflow.svm.scaling.operator import batched
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.scaling.query_blocks import QueryBlocks, inverse_by_query


def rows(counts, d=5, d_z=3, seed=0):
    """As many random constraints of each query, of random lengths; the second is a copy of the first."""
    rng = np.random.default_rng(seed)
    a, sample = rng.standard_normal((sum(counts), d)), np.repeat(np.arange(len(counts)), counts)
    a[1] = a[0]
    return batched(a, sample, rng.standard_normal((len(counts), d_z)), np.ones(len(a)))


@pytest.mark.parametrize("most", [1, 3, 64])
@pytest.mark.parametrize("counts", [(4, 4, 4), (7, 1, 4, 2), (2, 0, 5, 9)])
def test_the_inverse_is_that_of_the_gram_matrix_within_blocks(counts, most, monkeypatch):
    monkeypatch.setattr(query_blocks, "BLOCK", most)
    A = rows(counts)
    R = A.written_out()
    place = np.concatenate([np.arange(count) for count in counts])
    block = np.char.add(A.sample.astype(str), (place // most).astype(str))
    gram = R @ R.T * (block[:, None] == block)
    gram[np.diag_indices(len(A))] *= 1.0 + query_blocks.RIDGE
    x = np.random.default_rng(1).standard_normal(len(A))
    want = np.linalg.solve(gram, x)
    np.testing.assert_allclose(inverse_by_query(A)(x), want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


def test_a_query_with_most_constraints_does_not_fill_the_grid_with_zeros():
    A = rows((60, *[2] * 200))
    blocks = QueryBlocks.of(A)
    assert blocks.a.shape[0] * blocks.a.shape[1] <= (query_blocks.UNEVEN + 2) * len(A)
    assert blocks.a.reshape(-1, 5)[blocks.slot].tolist() == A.a.tolist()
    np.testing.assert_array_equal(blocks.queries[blocks.slot // blocks.a.shape[1]], A.queries[A.sample])


def test_a_row_of_zeros_leaves_its_block_regular():
    A = rows((3, 3))
    A.a[2] = 0.0
    assert np.isfinite(inverse_by_query(A)(np.ones(6))).all()


def test_single_precision_stays_single():
    A = presolve(unit_sphere(4, 5, 6)).operator
    x = np.random.default_rng(0).standard_normal(len(A))
    single = inverse_by_query(A.single())(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, inverse_by_query(A)(x), rtol=1e-3, atol=1e-3)

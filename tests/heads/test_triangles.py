"""Spectra from triangles against 60-digit arithmetic, and every figure against the D x D matrix."""

import mpmath
import numpy as np
import pytest
import scipy.linalg

from marginflow.heads.rotary import Rotary
from marginflow.heads.triangles import triangles_of


M, D = 12, 40


def orthogonal(random, rows, columns):
    return np.linalg.qr(random.standard_normal((rows, columns)))[0]


def graded(random, condition):
    """Rows of sizes from 1 to 1/condition."""
    return np.geomspace(1, 1 / condition, M)[:, None] * random.standard_normal((M, D))


def pairs():
    random = np.random.default_rng(0)
    turn = orthogonal(random, M, M)
    spread = np.geomspace(1, 1e-4, M)[:, None]
    yield "both graded", graded(random, 1e4), graded(random, 1e4)
    yield "graded upwards", graded(random, 1e4)[::-1].copy(), graded(random, 1e4)[::-1].copy()
    yield "keys graded", graded(random, 1e8), random.standard_normal((M, D))
    yield "queries graded upwards", random.standard_normal((M, D)), graded(random, 1e8)[::-1].copy()
    yield "balanced, 1e8", spread * orthogonal(random, D, M).T, spread * orthogonal(random, D, M).T
    yield (
        "balanced, 1e8, turned",
        turn @ (spread * orthogonal(random, D, M).T),
        turn @ (spread * orthogonal(random, D, M).T),
    )
    yield "shuffled sizes", graded(random, 1e4)[random.permutation(M)], graded(random, 1e4)[random.permutation(M)]


CASES = list(pairs())


def exact(K, Q):
    """Singular values of K'Q to 60 digits."""
    with mpmath.workdps(60):
        R = [mpmath.qr(mpmath.matrix(F.T.tolist()), mode="skinny")[1] for F in (K, Q)]
        return np.array(sorted((float(s) for s in mpmath.svd_r(R[0] * R[1].T, compute_uv=False)), reverse=True))


@pytest.mark.parametrize(("name", "K", "Q"), CASES, ids=[c[0] for c in CASES])
def test_every_singular_value_to_thirteen_digits_at_condition_1e8(name, K, Q):
    truth = exact(K, Q)
    np.testing.assert_allclose(triangles_of(K, Q).singular, truth, rtol=1e-13)


def test_the_cases_are_hard_for_the_plain_way():
    lost = [np.abs(np.linalg.svd(K.T @ Q, compute_uv=False)[:M] / exact(K, Q) - 1).max() for _, K, Q in CASES]
    assert sum(error > 1e-12 for error in lost) >= 5


def test_more_rows_than_columns_and_zero_rows():
    random = np.random.default_rng(1)
    K, Q = random.standard_normal((9, 5)), random.standard_normal((9, 7))
    np.testing.assert_allclose(triangles_of(K, Q).singular, scipy.linalg.svdvals(K.T @ Q), rtol=1e-12)
    K[3] = 0.0
    np.testing.assert_allclose(triangles_of(K, Q).singular[:5], scipy.linalg.svdvals(K.T @ Q), rtol=1e-12)
    assert not triangles_of(0 * K, Q).singular.any()


@pytest.mark.parametrize("pairing", ["halves", "neighbours"])
def test_the_form_at_an_offset_is_that_of_the_rotated_factors(pairing):
    random = np.random.default_rng(2)
    K, Q = random.standard_normal((8, 20)), random.standard_normal((8, 20))
    rotation = Rotary(np.array([1.0, 0.3, 0.01]), pairing)
    for offset in (0.0, 3.0, 64.0):
        W = K.T @ rotation.apply(Q.T, offset).T
        found = triangles_of(K, Q).at_offset(rotation, offset).singular
        np.testing.assert_allclose(found, scipy.linalg.svdvals(W)[:8], rtol=1e-12)
    # A query at s and a token at t meet at s - t, and rotations keep lengths.
    turned = [rotation.apply(F, p) for F, p in ((K.T, 5.0), (Q.T, 12.0))]
    np.testing.assert_allclose(turned[0] @ turned[1].T, K.T @ rotation.apply(Q.T, 7.0).T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(turned[0], axis=1), np.linalg.norm(K, axis=0), rtol=1e-12)

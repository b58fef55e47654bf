"""Sums and products to twice float64's precision, against rationals."""

from fractions import Fraction

import numpy as np

from marginflow import twofold


def exact(value):
    return Fraction(float(value))


def test_sums_and_products_have_their_exact_errors():
    a, b = np.random.default_rng(0).standard_normal((2, 40)) * 10.0 ** np.random.default_rng(1).integers(-9, 9, 40)
    for made, rule in ((twofold.two_sum(a, b), lambda x, y: x + y), (twofold.two_product(a, b), lambda x, y: x * y)):
        assert (made[1] != 0.0).sum() > 20
        for high, low, x, y in zip(*made, a, b, strict=True):
            assert exact(high) + exact(low) == rule(exact(x), exact(y))


def test_margins_that_cancel_keep_their_digits():
    """Of weights of 1e12 and a margin of order 1, of which a plain product keeps no digit."""
    draw = np.random.default_rng(2)
    for d, d_z in ((3, 5), (8, 8), (1, 4)):
        a, z = draw.standard_normal((3, d)), draw.standard_normal((3, d_z))
        W = 1e12 * draw.standard_normal((d, d_z))
        A = (a[:, :, None] * z[:, None, :]).reshape(3, -1)
        W -= (np.linalg.pinv(A) @ (A @ W.ravel())).reshape(W.shape)
        found = twofold.margins(a, W, z)
        for c in range(3):
            true = sum(exact(a[c, i]) * exact(W[i, j]) * exact(z[c, j]) for i in range(d) for j in range(d_z))
            assert abs(exact(found[c]) - true) <= abs(true) * Fraction(1, 2**50)
        each = twofold.margins(a, np.stack([W, 2 * W, W]), z)
        assert np.array_equal(each, found * [1, 2, 1])


def test_margins_of_diagonal_weights():
    draw = np.random.default_rng(3)
    a, z, beta = draw.standard_normal((2, 6)), draw.standard_normal((2, 6)), 1e9 * draw.standard_normal(6)
    A = a * z
    beta -= np.linalg.pinv(A) @ (A @ beta)
    for c, found in enumerate(twofold.diagonal_margins(a, beta, z)):
        true = sum(exact(x) * exact(y) * exact(w) for x, y, w in zip(a[c], z[c], beta, strict=True))
        assert abs(exact(found) - true) <= abs(true) * Fraction(1, 2**50)

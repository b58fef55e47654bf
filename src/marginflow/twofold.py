"""Sums and products to twice float64's precision (Dekker 1971; Ogita, Rump, Oishi 2005, algorithm Dot2)."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats


_SPLIT: Final = 2.0**27 + 1.0


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a + b as a float64 and its exact error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a b as a float64 and its exact error, of entries below 1e150 whose product is 0 or above 1e-290 (Dekker)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def margins(a: Floats, W: Floats, z: Floats) -> Floats:
    """(C,) a_c' W z_c of `a` (C, d), `z` (C, d_z) and W (d, d_z) or (C, d, d_z), one for each.

    Rounded as if once: where large terms cancel, what is left of them has its digits.
    """
    high, low = _dot(_dot((W, 0.0 * W), z[:, None, :]), a)
    return high + low


def diagonal_margins(a: Floats, beta: Floats, z: Floats) -> Floats:
    """`margins` of W = diag(beta), beta (d,) or (C, d)."""
    high, low = _dot(two_product(beta, z), a)
    return high + low


def _dot(x: tuple[Floats, Floats], y: Floats) -> tuple[Floats, Floats]:
    """The inner products of x = high + low with y along the last axis, as such a sum."""
    high, low = two_product(x[0], y)
    low = low + x[1] * y
    while high.shape[-1] > 1:
        odd = high.shape[-1] % 2
        total, lost = two_sum(high[..., odd::2], high[..., 1 + odd :: 2])
        rest = low[..., odd::2] + low[..., 1 + odd :: 2] + lost
        high = np.concatenate([high[..., :odd], total], axis=-1)
        low = np.concatenate([low[..., :odd], rest], axis=-1)
    return two_sum(high[..., 0], low[..., 0])


def _halves(a: Floats) -> tuple[Floats, Floats]:
    """`a` as a sum of two with 26 bits each."""
    scaled = _SPLIT * a
    high = scaled - (scaled - a)
    return high, a - high

"""Confidence intervals of proportions."""

import math
from typing import Final


NORMAL: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of Wilson (1927) for `count` of `total` > 0; never outside [0, 1]."""
    p, z2 = count / total, NORMAL**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = NORMAL * math.sqrt(p * (1 - p) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    # At the ends the bound is exactly 0 or 1; rounding must not push it past the observed share.
    lower = 0.0 if count == 0 else max(0.0, centre - half)
    return lower, 1.0 if count == total else min(1.0, centre + half)

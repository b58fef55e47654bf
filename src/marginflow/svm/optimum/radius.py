"""How far from the returned weights the optimum can be, for strictly convex norms (docs/svm.md)."""

from typing import TYPE_CHECKING

import numpy as np

from marginflow.norms import Lp
from marginflow.rounding import up


if TYPE_CHECKING:
    from marginflow.svm.solution import Solution


def radius(solution: "Solution") -> float:
    """Every optimum lies within this distance of W, measured in the norm itself.

    The midpoint of W and the optimum separates too, so its norm is at least `lower`; the parallelogram law
    (p = 2), its form by Ball, Carlen and Lieb (p < 2) and Clarkson's inequality (p > 2) make that a bound.
    inf for norms that are not strictly convex.
    """
    lower, upper = solution.certificate.lower, solution.certificate.upper
    if not solution.norm.strictly_convex or not np.isfinite(upper):
        return np.inf
    p = solution.norm.p if isinstance(solution.norm, Lp) else 2.0
    if lower == upper == 0.0:
        return 0.0
    excess = (upper - lower) / upper
    if p <= 2.0:
        # |(x - y)/2|^2 (p - 1) <= upper^2 - lower^2
        return up(float(2.0 * upper * np.sqrt(excess * (2.0 - excess) / (p - 1.0))), 16)
    # |(x - y)/2|^p <= upper^p - lower^p
    return up(float(2.0 * upper * (-np.expm1(p * np.log1p(-excess))) ** (1.0 / p)), 64)

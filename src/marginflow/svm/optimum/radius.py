"""How far from the returned weights the optimum can be, for strictly convex norms (docs/svm.md)."""

import math

import numpy as np

from marginflow.norms import AbstractPowers
from marginflow.rounding import up
from marginflow.svm.optimum.optimum import Optimum


def radius(optimum: Optimum) -> float:
    """Every optimum lies within this distance of W, measured in the norm itself.

    The midpoint of W and the optimum separates too, so its norm is at least `lower`; the parallelogram law
    (p = 2), its form by Ball, Carlen and Lieb (p < 2) and Clarkson's inequality (p > 2) make that a bound.
    inf for norms that are not strictly convex.
    """
    lower, upper, norm = optimum.certificate.lower, optimum.certificate.upper, optimum.svm.norm
    if not norm.strictly_convex or not np.isfinite(upper):
        return math.inf
    p = norm.p if isinstance(norm, AbstractPowers) else 2.0
    if lower == upper == 0.0:
        return 0.0
    excess = (upper - lower) / upper
    if p <= 2.0:
        # |(x - y)/2|^2 (p - 1) <= upper^2 - lower^2
        return up(float(2.0 * upper * np.sqrt(excess * (2.0 - excess) / (p - 1.0))), 16)
    # |(x - y)/2|^p <= upper^p - lower^p
    return up(float(2.0 * upper * (-np.expm1(p * np.log1p(-excess))) ** (1.0 / p)), 64)


def distance(optimum: Optimum) -> float:
    """Every optimum lies within this Euclidean (Frobenius) distance of W; inf where nothing bounds it."""
    norm = optimum.svm.norm
    if not norm.strictly_convex:
        return optimum.radius
    own = radius(optimum)
    if isinstance(norm, AbstractPowers) and norm.p > 2.0:
        # |x|_2 <= D^(1/2 - 1/p) |x|_p for D weights
        return up(own * optimum.weights.size ** (0.5 - 1.0 / norm.p), 16)
    return own

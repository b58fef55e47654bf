"""The rank of every optimum: a lower and an upper bound that meet, or none (docs/svm.md, Rank)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import structural_rank

from marginflow import rounding
from marginflow.arrays import Bools, Floats
from marginflow.svm.optimum.coordinates import nonzero, seen, vanishing
from marginflow.svm.optimum.exact import exact_rank, exact_weights, in_rows
from marginflow.svm.optimum.linear import linear_optimum
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.optimum.radius import distance


@dataclass(frozen=True)
class Rank:
    """How many singular values (weights, for diagonal norms) are not zero at the optimum, whichever it is.

    Attributes:
        rank: the number; None where the two bounds do not meet.
        at_least, at_most: bounds that hold for every optimum, in exact arithmetic.
        kept: what the smallest value counted in `at_least` is not below, over the largest of W; nan for none.
        dropped: what the values beyond do not exceed, over the largest of W: 0 where they are proved to vanish.
        sentence: what supports the number.
    """

    rank: int | None
    at_least: int
    at_most: int
    kept: float
    dropped: float
    sentence: str


def rank_of(optimum: Optimum) -> Rank:
    """Bound the rank of every optimum from both sides."""
    svm = optimum.svm
    most = min(svm.constraints.shape)
    if not math.isfinite(optimum.certificate.upper):
        return Rank(None, 0, most, math.nan, math.nan, "no separating weights, no rank")
    if optimum.certificate.upper == 0.0:
        return Rank(0, 0, 0, math.nan, 0.0, "W = 0")
    if not optimum.found:
        return Rank(None, 0, most, math.nan, math.nan, "nothing bounds the optimum from below")
    s = spectrum(optimum.weights)
    least = np.sort(nonzero(optimum))[::-1] if svm.diagonal else _singular_down(optimum, s)
    at_least = int((least > 0.0).sum())
    at_most, how = _at_most(optimum, most)
    kept = float(least[at_least - 1] / s[0]) if at_least else math.nan
    beyond = float(s[at_least]) if at_least < len(s) else 0.0
    dropped = 0.0 if at_least == at_most else (beyond + distance(optimum)) / float(s[0])
    if at_least == at_most:
        return Rank(at_least, at_least, at_most, kept, 0.0, how)
    line = linear_optimum(optimum)
    if line is not None and line.determined:
        r = sum(x != 0 for x in line.beta) if svm.diagonal else exact_rank(in_rows(optimum, line.beta))
        return Rank(r, r, r, float(s[r - 1] / s[0]), 0.0, "the optimum in rational numbers")
    W = exact_weights(optimum) if svm.norm.euclidean else None
    if W is not None:
        r = sum(x != 0 for x in W[0]) if svm.diagonal else exact_rank(W)
        return Rank(r, r, r, float(s[r - 1] / s[0]), 0.0, "the optimum in rational numbers")
    return Rank(None, at_least, at_most, kept, dropped, f"at least {at_least} and at most {at_most} are certain: {how}")


def spectrum(weights: Floats) -> Floats:
    """The singular values of W (d, d_z), or the sizes of the weights (d,), largest first."""
    if weights.ndim == 1:
        return np.sort(np.abs(weights))[::-1]
    return np.asarray(np.linalg.svd(weights, compute_uv=False))


def _singular_down(optimum: Optimum, s: Floats) -> Floats:
    """What the singular values of every optimum are not below (Weyl), largest first; 0 where that is not shown."""
    away = distance(optimum) + rounding.gamma(8 * sum(optimum.weights.shape) + 64) * float(s[0])
    out = np.maximum(s - away, 0.0) if math.isfinite(away) else np.zeros(len(s))
    # No optimum is zero: its largest entry is N(W) over the number of entries at least, for every norm here.
    out[0] = max(float(out[0]), optimum.certificate.lower / optimum.weights.size)
    return out


def _at_most(optimum: Optimum, most: int) -> tuple[int, str]:
    """What the rank of no optimum exceeds, and why."""
    svm, norm = optimum.svm, optimum.svm.norm
    bounds = [(most, "the size of W")]
    if svm.diagonal:
        if norm.sparse:
            bounds.append((int((~vanishing(optimum)).sum()), "the dual leaves all other weights at zero"))
        elif norm.strictly_convex:
            touched = seen(svm, _perhaps_active(optimum))
            bounds.append((int(touched.sum()), "no constraint that can bind sees the other weights"))
    elif norm.entrywise and not norm.euclidean:
        if norm.sparse:
            bounds.append((_pattern_rank(~vanishing(optimum)), "the dual leaves all other entries at zero"))
        elif norm.strictly_convex:
            binding = _perhaps_active(optimum)
            bounds.append((_pattern_rank(seen(svm, binding)), "no constraint that can bind sees the other entries"))
            # w_ij is a power of b_ij: if b = p z', so is W a product.
            if len(np.unique(svm.constraints.queries[binding], axis=0)) == 1:
                bounds.append((1, "the constraints that can bind have one query"))
    elif norm.sparse or norm.strictly_convex:
        binding = _perhaps_active(optimum)
        queries = len(np.unique(svm.constraints.queries[binding], axis=0))
        bounds.append((queries, "the constraints that can bind have no more queries"))
        spread = optimum.dual_spread
        if norm.sparse and spread is not None:
            values = np.linalg.svd(optimum.B, compute_uv=False)
            room = spread.matrix + rounding.gamma(8 * sum(svm.constraints.shape) + 64)
            bounds.append((int((values >= 1.0 - room).sum()), "all other dual singular values are certainly below 1"))
    return min(bounds, key=lambda bound: bound[0])


def _pattern_rank(perhaps: Bools) -> int:
    """The largest rank of a matrix that is zero outside `perhaps` (d, d_z): so many entries share no row or column."""
    return int(structural_rank(csr_array(perhaps)))


def _perhaps_active(optimum: Optimum) -> Bools:
    """(C,) False where the margin exceeds its level at every optimum, so that the multiplier is zero at each."""
    away = distance(optimum)
    if not math.isfinite(away):
        return np.ones(len(optimum.svm), dtype=bool)
    rows = optimum.svm.constraints
    return np.asarray((optimum.margins - away * optimum.lengths * (1.0 + 1e-12) <= rows.level) | rows.equal)

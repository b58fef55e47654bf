"""Exact multipliers next to those of a file, through a Gram matrix: of more rows than integers are written for.

With rows S, r_c = A_c / s_c, G = sum_S r_c r_c' >= mu I and b = |sum lambda_c A_c|_F, changes of lambda on S by at most
b / (s_c sqrt(mu)) make the sum vanish exactly (docs/svm.md, Infeasibility). b is exact; mu is what Cholesky's method in
float64 shows, as for spectral norms.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.referee.exact import Exact, root_up
from marginflow.svm.referee.rows import Row


def spanned(rows: Sequence[Row], z: Floats, dual: Floats, diagonal: bool, sum_: Exact) -> bool:
    """Whether exact multipliers, positive but for equalities, lie next to `dual`.

    Args:
        rows: C of them, none zero.
        z: (n, d_z) queries.
        dual: (C,) multipliers, none zero.
        diagonal: whether the constraints are those of W = diag(beta).
        sum_: the sum of dual_c A_c.
    """
    D = math.prod(sum_.whole.shape)
    count = D + D // 8 + 8
    if D > LARGEST or len(rows) < count:
        return False
    a = _rounded(rows)
    query = z[[row.sample for row in rows]]
    with np.errstate(over="ignore"):
        size = _lengths(a * query) if diagonal else _lengths(a) * _lengths(query)
    if not (size > _NORMAL).all() or not np.isfinite(size).all():
        return False
    weight = np.array([math.inf if row.equal else 1.0 for row in rows]) * np.abs(dual) * size
    chosen = np.argsort(-weight, kind="stable")[:count]
    least = float(weight[chosen].min())
    if not 0.0 < least < math.inf:
        return False
    b = root_up((sum_ * sum_).total())
    a, query = a[chosen], query[chosen]
    R = a * query if diagonal else (a[:, :, None] * query[:, None, :]).reshape(count, D)
    share = 3 * b / Fraction(least)
    # G of unit rows has trace `count`: no eigenvalue is above that, and what is far above it is beyond float64.
    if share * share > count:
        return False
    mu = _least_eigenvalue(R / size[chosen][:, None], float(share) ** 2)
    # Lengths are known to many digits: a factor 2 is ample for them.
    return (2 * b) ** 2 < mu * Fraction(least) ** 2


def _lengths(rows: Floats) -> Floats:
    return np.asarray(np.linalg.norm(rows, axis=1))


def _rounded(rows: Sequence[Row]) -> Floats:
    """(C, d) the exact differences of the rows, rounded; inf where they are beyond float64."""
    try:
        return np.array([np.ldexp(row.a.whole.astype(np.float64), row.a.power) for row in rows])
    except OverflowError:
        return np.full((len(rows), len(rows[0].a.whole)), math.inf)


def _least_eigenvalue(R: Floats, wanted: float) -> Fraction:
    """A number that the least eigenvalue of the exact R'R is not below, at most about `wanted`; 0 if none is shown.

    Entries of R carry six roundings at most, sums of `count` products one more for each; then Cholesky's method on a
    matrix of order D bounds what it misses by g tr / (1 - g), g = (D + 1) u / (1 - (D + 1) u).
    """
    count, D = R.shape
    u = Fraction(1, 2**53)
    trace = Fraction(float((R * R).sum())) * (1 + 2 * count * D * u)
    k, g = (count + 32) * u, (D + 2) * u
    lost = (k / (1 - k) + g / (1 - g)) * trace
    shift = wanted + 2.0 * float(lost)
    G = R.T @ R
    G[np.diag_indices(D)] -= shift
    try:
        np.linalg.cholesky(G)
    except np.linalg.LinAlgError:
        return Fraction(0)
    return max(Fraction(shift) * (1 - 4 * u) - lost, Fraction(0))


_NORMAL: Final = 2.0**-900
"""Entries of shorter rows may be subnormal, and then carry more than the roundings allowed for."""

LARGEST: Final = 4096
"""Most weights: G is a matrix of so many rows and columns."""

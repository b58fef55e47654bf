"""Bounds of one head's value from saved arrays, in exact integers and rational numbers."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.svm.referee.cut import cut_dual_up, cut_up
from marginflow.svm.referee.exact import Exact, norm_up, root_up
from marginflow.svm.referee.move import distance_up, length_up
from marginflow.svm.referee.rows import Row


Kind = str | Fraction | float
"""A norm: its name, or the exponent exactly for those of single weights."""


def upper(rows: Sequence[Row], z: Floats, W: Floats, diagonal: bool, kind: Kind, M: Exact | None) -> float:
    """N(W) over the least margin of level 1, the margins exact, rounded up; inf when W does not separate.

    Where equalities, or rows of level 0, are met up to rounding only, both are those of weights that meet them exactly.
    `M` is the dual matrix, which guides the bound of the cut norm.
    """
    exact = Exact.of(W.diagonal() if diagonal else W)
    margins = [_margin(row, weights) for row, weights in zip(rows, _pulled(rows, z, exact, diagonal), strict=True)]
    leads = [margin for row, margin in zip(rows, margins, strict=True) if row.level]
    if not leads:
        return 0.0
    least = min(leads)
    if least <= 0:
        return math.inf
    moved = Fraction(0)
    if not all(margin == 0 if row.equal else margin >= 0 for row, margin in zip(rows, margins, strict=True)):
        found = _moved(rows, margins, z, diagonal, exact)
        if found is None:
            return math.inf
        moved, least = found
        if least <= 0:
            return math.inf
    size = cut_dual_up(exact, M) if kind == "cut" else _norm_up(exact, kind)
    return float_up((size + _stretch(exact.whole.shape, kind) * moved) / least)


def _moved(
    rows: Sequence[Row], margins: list[Fraction], z: Floats, diagonal: bool, W: Exact
) -> tuple[Fraction, Fraction] | None:
    """How far weights are that meet all rows but those of level 1 exactly, and the least margin of these there."""
    size = root_up((W * W).total())
    lengths = [length_up(row, z, diagonal) for row in rows]
    chosen = {
        c
        for c, (row, margin) in enumerate(zip(rows, margins, strict=True))
        if row.equal or (not row.level and margin <= _AT_ZERO * size * lengths[c])
    }
    for _ in range(_ROUNDS):
        kept = [c for c in sorted(chosen) if lengths[c] > 0]
        moved = distance_up([rows[c] for c in kept], [margins[c] for c in kept], z, diagonal)
        if moved is None:
            return None
        left = [margin - length * moved for margin, length in zip(margins, lengths, strict=True)]
        lacking = {c for c, row in enumerate(rows) if not row.level and c not in chosen and left[c] < 0}
        if not lacking:
            return moved, min(left[c] for c, row in enumerate(rows) if row.level)
        chosen |= lacking
    return None


def _pulled(rows: Sequence[Row], z: Floats, W: Exact, diagonal: bool) -> list[Exact]:
    """W z of the query of every row, or beta o z."""
    pulled: dict[int, Exact] = {}
    for row in rows:
        if row.sample not in pulled:
            query = Exact.of(z[row.sample])
            pulled[row.sample] = query * W if diagonal else W @ query
    return [pulled[row.sample] for row in rows]


def _margin(row: Row, weights: Exact) -> Fraction:
    return Fraction(int(row.a.whole @ weights.whole)) * Fraction(2) ** (row.a.power + weights.power)


def _stretch(shape: tuple[int, ...], kind: Kind) -> Fraction:
    """What N(W) / |W|_F does not exceed."""
    if kind == "nuclear":
        return root_up(Fraction(min(shape)))
    if kind == "cut" or (isinstance(kind, Fraction) and kind < 2):
        # |x|_p <= |x|_1 <= D^(1/2) |x|_2 for p >= 1, and a cut norm is no more than the sum of its entries' sizes
        return root_up(Fraction(math.prod(shape)))
    return Fraction(1)


def lower(rows: Sequence[Row], dual: Floats, kind: Kind, M: Exact | None) -> float:
    """sum(dual) over level 1 / N_d(exact dual matrix M), rounded down; inf where that is exactly zero (Farkas)."""
    if not any(x for x, row in zip(dual.tolist(), rows, strict=True) if row.level):
        return 0.0
    if M is None:
        return math.inf
    total = Exact.of(dual)[np.array([row.level == 1 for row in rows])].total()
    return float_down(total / (cut_up(M) if kind == "cut" else _norm_up(M, _dual_kind(kind))))


def dual_matrix(rows: Sequence[Row], z: Floats, dual: Floats, diagonal: bool) -> Exact | None:
    """The sum of all constraints times their multipliers, exactly; None where it is exactly zero."""
    if not dual.any():
        return None
    multipliers, d = Exact.of(dual), len(rows[0].a.whole)
    # Every difference on one scale, so that the sums over a sample are integer sums.
    power = min(row.a.power for row in rows)
    sums: dict[int, npt.NDArray[np.object_]] = {}
    for row, weight in zip(rows, multipliers.whole.tolist(), strict=True):
        if weight:
            term = (row.a.whole << (row.a.power - power)) * weight
            sums[row.sample] = sums[row.sample] + term if row.sample in sums else term
    samples = sorted(sums)
    stacked = Exact(np.array([sums[i] for i in samples], dtype=object).reshape(len(samples), d), power)
    queries = Exact.of(z[samples])
    if diagonal:
        product = (stacked * queries).whole.sum(axis=0)
        M = Exact(np.asarray(product, dtype=object), stacked.power + queries.power + multipliers.power)
    else:
        product_ = stacked.T @ queries
        M = Exact(product_.whole, product_.power + multipliers.power)
    return None if M.is_zero() else M


def together(values: Sequence[float], kind: Kind, *, down: bool) -> float:
    """The norm of block-diagonal weights whose blocks have these norms, rounded up or down.

    Down: |x|_p >= sum x y / |y|_q for any y >= 0, here near x^(p - 1).
    """
    if len(values) == 1 or not all(math.isfinite(x) for x in values):
        return values[0] if len(values) == 1 else math.inf
    p = _ACROSS[kind] if isinstance(kind, str) else kind
    sizes = np.array(values)
    if not down:
        return float_up(_norm_up(Exact.of(sizes), p))
    if not sizes.any():
        return 0.0
    ratios = sizes / sizes.max()
    y = ratios ** (float(p) - 1.0) if isinstance(p, Fraction) else (ratios == 1.0).astype(float)
    inner = (Exact.of(sizes) * Exact.of(y)).total()
    return float_down(inner / _norm_up(Exact.of(y), _dual_kind(p)))


def size_up(M: Exact, kind: Kind) -> Fraction:
    """A rational number that the norm of `M` does not exceed; not the cut norm."""
    return _norm_up(M, kind)


def dual_up(M: Exact, kind: Kind) -> Fraction:
    """The same of the dual norm."""
    return _norm_up(M, _dual_kind(kind))


def dual_stretch(shape: tuple[int, ...], kind: Kind) -> Fraction:
    """What the dual norm of a matrix of this shape over its Frobenius norm does not exceed."""
    return _stretch(shape, _dual_kind(kind))


def _dual_kind(kind: Kind) -> Kind:
    if isinstance(kind, str):
        return {"nuclear": "operator", "operator": "nuclear", "frobenius": "frobenius"}[kind]
    if kind == 1:
        return math.inf
    return Fraction(1) if not isinstance(kind, Fraction) else kind / (kind - 1)


def _norm_up(M: Exact, kind: Kind) -> Fraction:
    """A rational number that the norm of `M` does not exceed."""
    if kind == "frobenius" or kind == 2:
        return root_up((M * M).total())
    if isinstance(kind, str):
        return _spectral_up(M, kind)
    if not isinstance(kind, Fraction):
        return M.largest()
    return M.absolute().total() if kind == 1 else norm_up(M.absolute(), kind)


def _spectral_up(M: Exact, kind: str) -> Fraction:
    """An upper bound of the operator or nuclear norm by a positive definite matrix (docs/svm.md, Verifying).

    |M| <= t if [[t, M], [M', t]] >= 0, and |M|_* <= (tr P + tr Q) / 2 if [[P, M], [M', Q]] >= 0. When
    Cholesky's method runs through on a symmetric A of order N in float64, A + c I >= 0 with
    c = g tr(A) / (1 - g), g = (N + 1) u / (1 - (N + 1) u) (Higham, Accuracy and Stability, theorem 10.3;
    Rump, BIT 46, 2006).
    """
    near, power, entry = M.nearest()
    d, d_z = near.shape
    N = d + d_z
    left, s, right = np.linalg.svd(near, full_matrices=False)
    A = np.zeros((N, N))
    A[d:, :d] = near.T
    if kind == "nuclear":
        A[:d, :d], A[d:, d:] = (left * s) @ left.T, (right.T * s) @ right
    else:
        A[np.diag_indices(N)] = s[0]
    for tries in range(40):
        trial = A.copy()
        trial[np.diag_indices(N)] += float(s[0]) * N * 2.0**-53 * 2.0**tries
        try:
            np.linalg.cholesky(trial)
            break
        except np.linalg.LinAlgError:
            continue
    else:
        raise ArithmeticError("no positive definite matrix bounds the norm")
    g = Fraction(N + 1, 2**53 - (N + 1))
    trace = sum((Fraction(float(x)) for x in trial.diagonal()), Fraction(0))
    shift = g * trace / (1 - g) + Fraction(N, 2**1000)
    if kind == "nuclear":
        bound = (trace + N * shift) / 2
        # |E|_* <= min(d, d_z) |E|_F and |E|_F <= sqrt(d d_z) max |E_ij|
        bound += min(d, d_z) * N * entry
    else:
        bound = Fraction(float(trial.diagonal().max())) + shift + N * entry
    return Fraction(bound * Fraction(2) ** power)


def resolution(shape: tuple[int, ...], kind: Kind) -> float:
    """The relative width of this file's own bounds: what the claims may differ from them."""
    N = sum(shape)
    return 1e-13 + (8 * N * N * 2.0**-53 if kind in ("nuclear", "operator") else 0.0)


def float_up(x: Fraction) -> float:
    """The float64 that is `x` or next above it."""
    value = float(x)
    return value if Fraction(value) >= x else math.nextafter(value, math.inf)


def float_down(x: Fraction) -> float:
    """The float64 that is `x` or next below it."""
    value = float(x)
    return value if Fraction(value) <= x else math.nextafter(value, 0.0)


_ACROSS: Final[dict[str, Kind]] = {"nuclear": Fraction(1), "frobenius": Fraction(2), "operator": math.inf}
"""The p of sum_h N(W_h)^p for block-diagonal weights."""

_AT_ZERO: Final = Fraction(1, 10**12)
"""Margins of level 0 below this share of what they could be are moved to 0 exactly."""

_ROUNDS: Final = 4

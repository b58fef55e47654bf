"""Bounds that hold in exact arithmetic although they are computed in float64 (docs/svm.md, Rounding).

Everything rests on the standard model fl(x op y) = (x op y)(1 + e), |e| <= u = 2**-53, which IEEE 754 grants,
and on gamma(k) = k u / (1 - k u) for an inner product of k terms summed in any order (Higham, Accuracy and
Stability of Numerical Algorithms, ch. 3). Arguments are scaled by powers of two so that nothing overflows;
what underflows is covered by `TINY`.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from marginflow.arrays import Floats


U: Final = 2.0**-53
"""The unit roundoff."""

TINY: Final = 2.0**-1000
"""More than all underflow errors of one bound together: fewer than 2**60 operations, 2**-1074 each."""


def gamma(k: int) -> float:
    """k u / (1 - k u), rounded up: the relative error of a chain of `k` roundings."""
    return k * U / (1.0 - (k + 4) * U) * (1.0 + 4 * U)


def up(x: float, k: int = 1) -> float:
    """An upper bound of a nonnegative number whose computed value `x` carries `k` roundings."""
    return x * (1.0 + gamma(k + 4))


def down(x: float, k: int = 1) -> float:
    """A lower bound of a nonnegative number whose computed value `x` carries `k` roundings."""
    return x * (1.0 - gamma(k + 4))


def text_down(x: float, digits: int) -> str:
    """The largest decimal number of so many digits that does not exceed `x`, written as by format code g."""
    return _text(x, digits, ROUND_FLOOR)


def text_up(x: float, digits: int) -> str:
    """The smallest decimal number of so many digits that is not below `x`, written as by format code g."""
    return _text(x, digits, ROUND_CEILING)


def interval(lower: float, upper: float, digits: int) -> str:
    """[lower, upper] in so many digits, rounded outwards: what is printed holds as well."""
    return f"[{text_down(lower, digits)}, {text_up(upper, digits)}]"


def percent(lower: float, upper: float) -> str:
    """[lower, upper] in whole per cent, rounded outwards."""
    return f"[{math.floor(100 * Fraction(lower))}, {math.ceil(100 * Fraction(upper))}]"


def _text(x: float, digits: int, direction: str) -> str:
    if not math.isfinite(x) or x == 0.0:
        return f"{x:g}"
    rounded = Context(prec=digits, rounding=direction).create_decimal(Decimal(x))
    for extra in range(3):
        # Format code g rounds to nearest and drops zeros: nothing is left to round here.
        text = f"{float(rounded):.{digits + extra}g}"
        if Decimal(text) == rounded:
            return text
    return str(rounded)


def sum_up(x: Floats, k: int = 0) -> float:
    """An upper bound of the sum of nonnegative numbers, each of which carries `k` roundings."""
    return up(_total(x), k + _additions(x))


def sum_down(x: Floats) -> float:
    """A lower bound of the sum of nonnegative numbers."""
    return down(_total(x), _additions(x))


def frobenius_up(M: Floats) -> float:
    """An upper bound of the Frobenius norm; entries must be below 1e150 in size."""
    return up(math.sqrt(sum_up(M * M, 1) + TINY), 1)


def exponent(M: Floats) -> int:
    """The power of two that scales `M` to size [1/2, 1): max |M_ij| < 2**exponent; 0 for a zero matrix."""
    return math.frexp(float(np.abs(M).max(initial=0.0)))[1]


def spectral_up(M: Floats) -> tuple[float, float]:
    """Upper bounds (operator norm, nuclear norm) of `M` (d, d_z), entries below 1 in size.

    From a computed M = U S V' + R, whatever its quality (derived in docs/svm.md, Rounding):
    |M|_* <= sum_i s_i |u_i||v_i| + sqrt(k) |R|_F and |M| <= s_1 |U||V| + |R|_F, |U|^2 <= 1 + |U'U - I|_F.
    """
    left, s, right = np.linalg.svd(M, full_matrices=False)
    k = len(s)
    rows, cols = M.shape
    u2, v2 = (left * left).sum(axis=0), (right * right).sum(axis=1)
    mass = up(float(np.sum(s * np.sqrt(u2 * v2))), rows + cols + k + 8)
    residual = M - (left * s) @ right
    error = up(frobenius_up(residual) + gamma(k + 3) * mass, 4)
    stretch = (1.0 + _skew(left, rows)) * (1.0 + _skew(right.T, cols))
    operator = up(float(s[0]) * math.sqrt(stretch) + error, 12)
    nuclear = up(mass + math.sqrt(k) * error, 4)
    return min(operator, nuclear), nuclear


def _skew(U: Floats, rows: int) -> float:
    """An upper bound of |U'U - I|_F for a matrix of `rows` rows with columns of length about 1."""
    k = U.shape[1]
    gram = U.T @ U
    gram[np.diag_indices(k)] -= 1.0
    # The rounding error of U'U is at most gamma |U|'|U|, and | |U|'|U| |_F <= |U|_F^2.
    return up(frobenius_up(gram) + gamma(rows + 2) * sum_up(U * U, 1), 4)


def difference_errors(x: Floats, y: Floats) -> Floats:
    """x - y less its computed value: the error is a float64 number itself (Knuth's two-sum)."""
    total = x - y
    part = total - x
    return np.asarray((x - (total - part)) + (-y - part))


def _total(x: Floats) -> float:
    return math.fsum(x.ravel().tolist()) if x.size <= _EXACT_SUM else float(x.sum())


def _additions(x: Floats) -> int:
    return 1 if x.size <= _EXACT_SUM else x.size


_EXACT_SUM: Final = 2**17
"""Longest sum rounded only once (math.fsum); a longer one is charged a rounding per term."""

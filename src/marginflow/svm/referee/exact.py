"""Exact arithmetic on float64 arrays, for the verifier: integers times a common power of two.

Shares no code with the solvers, with `certificate` or with `rounding`: it is what they are checked against.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from math import isfinite, isqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats


@dataclass(frozen=True, eq=False)
class Exact:
    """The array `whole` * 2**power with Python integers: float64 arrays, their sums and products."""

    whole: npt.NDArray[np.object_]
    power: int

    @staticmethod
    def of(x: Any) -> "Exact":
        """A float64 array, exactly."""
        x = np.asarray(x, dtype=np.float64)
        mantissa, exponent = np.frexp(x)
        digits = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
        used = exponent[x != 0.0]
        lowest = int(used.min()) if used.size else 0
        shift = np.where(x != 0.0, exponent - lowest, 0).astype(object)
        return Exact(np.asarray(digits << shift, dtype=object), lowest - 53)

    def __matmul__(self, other: "Exact") -> "Exact":
        return Exact(np.asarray(self.whole @ other.whole, dtype=object), self.power + other.power)

    def __mul__(self, other: "Exact") -> "Exact":
        return Exact(np.asarray(self.whole * other.whole, dtype=object), self.power + other.power)

    def __sub__(self, other: "Exact") -> "Exact":
        power = min(self.power, other.power)
        left = self.whole << (self.power - power)
        return Exact(np.asarray(left - (other.whole << (other.power - power)), dtype=object), power)

    def __getitem__(self, index: Any) -> "Exact":
        return Exact(np.asarray(self.whole[index], dtype=object), self.power)

    @property
    def T(self) -> "Exact":
        """The transpose."""
        return Exact(self.whole.T, self.power)

    def fraction(self, value: Any) -> Fraction:
        """An integer of this array's scale as a rational number."""
        return Fraction(int(value)) * Fraction(2) ** self.power

    def least(self) -> Fraction:
        """The smallest entry."""
        return self.fraction(min(self.whole.ravel().tolist()))

    def total(self) -> Fraction:
        """The sum of all entries."""
        return self.fraction(sum(self.whole.ravel().tolist()))

    def absolute(self) -> "Exact":
        """The absolute values."""
        return Exact(np.asarray(np.abs(self.whole), dtype=object), self.power)

    def largest(self) -> Fraction:
        """The largest entry in size."""
        return self.fraction(max(np.abs(self.whole).ravel().tolist()))

    def is_zero(self) -> bool:
        """Whether every entry vanishes."""
        return not any(self.whole.ravel().tolist())

    def nearest(self) -> tuple[Floats, int, Fraction]:
        """(M, e, bound): the array is M * 2**e with M below 1 in size, up to `bound` per entry of M."""
        bits = max((abs(int(v)).bit_length() for v in self.whole.ravel()), default=1)
        drop = max(bits - 1060, 0)
        M = np.array([float(Fraction(int(v), 2**bits)) for v in self.whole.ravel()], dtype=np.float64)
        return M.reshape(self.whole.shape), bits + self.power, Fraction(1, 2**53) + Fraction(drop, 2**1000)


def root_up(x: Fraction) -> Fraction:
    """A rational number not below the square root of `x`, to 60 digits."""
    scale = 10**60
    # sqrt(a / b) = sqrt(a b) / b
    return Fraction(isqrt(x.numerator * x.denominator * scale * scale) + 1, scale * x.denominator)


def norm_up(sizes: Exact, p: Fraction) -> Fraction:
    """A rational number not below the p-norm of nonnegative `sizes`, p > 1, from intervals of 50 digits.

    The decimal module rounds ln and exp correctly, so the next number up or down encloses the true value.
    """
    largest = sizes.largest()
    if largest == 0:
        return Fraction(0)
    total = Decimal(0)
    for value in sizes.whole.ravel().tolist():
        if value:
            ratio = sizes.fraction(value) / largest
            total = _UP.add(total, _power_up(_decimal(ratio, _UP), _decimal(p, _DOWN)))
    # total >= 1, so its root grows with the exponent: 1/p is rounded up.
    root = _power_up(total, _UP.divide(Decimal(1), _decimal(p, _DOWN)))
    return Fraction(root) * largest


def _power_up(x: Decimal, p: Decimal) -> Decimal:
    """An upper bound of x**p for x > 0; p is a lower bound for x < 1, an upper bound for x >= 1."""
    log = _UP.next_plus(_PLAIN.ln(x))
    return _UP.next_plus(_PLAIN.exp(_UP.multiply(log, p)))


def text_up(x: float, digits: int) -> str:
    """A decimal number of so many digits that is not below `x`."""
    return _written(x, Context(prec=digits, rounding=ROUND_CEILING))


def text_down(x: float, digits: int) -> str:
    """A decimal number of so many digits that does not exceed `x`."""
    return _written(x, Context(prec=digits, rounding=ROUND_FLOOR))


def _written(x: float, context: Context) -> str:
    return f"{context.create_decimal(Decimal(x)):g}" if isfinite(x) else f"{x:g}"


def _decimal(x: Fraction, context: Context) -> Decimal:
    return context.divide(Decimal(x.numerator), Decimal(x.denominator))


_DIGITS: Final = 50
_RANGE: Final = {"prec": _DIGITS, "Emax": 10**12, "Emin": -(10**12)}
_UP: Final = Context(rounding=ROUND_CEILING, **_RANGE)  # type: ignore[arg-type]
_DOWN: Final = Context(rounding=ROUND_FLOOR, **_RANGE)  # type: ignore[arg-type]
_PLAIN: Final = Context(**_RANGE)  # type: ignore[arg-type]

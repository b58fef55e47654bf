"""p-norms of the numbers in the weights, with bounds that hold in exact arithmetic (theory 3.4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.norms.abstract import AbstractNorm
from marginflow.norms.faces import AbstractFace, AlignedCoordinates, PinnedCoordinates


@dataclass(frozen=True)
class AbstractPowers(AbstractNorm):
    """(sum_j |w_j|^p)^(1/p) over all weights w_j, 1 <= p <= inf; its dual has 1/p + 1/q = 1."""

    p: float

    def __post_init__(self) -> None:
        if not self.p >= 1.0:
            raise InputError(f"norm: got p = {self.p:g}; expected 1 <= p <= inf, or it is not a norm")

    @property
    def entrywise(self) -> bool:
        return True

    @property
    def across(self) -> float:
        return self.p

    @property
    def strictly_convex(self) -> bool:
        return 1.0 < self.p < math.inf

    @property
    def euclidean(self) -> bool:
        return self.p == 2.0

    @property
    def sparse(self) -> bool:
        return self.p == 1.0

    @cached_property
    def q(self) -> float:
        """The exponent of the dual norm."""
        if self.p == 1.0:
            return math.inf
        return 1.0 if self.p == math.inf else self.p / (self.p - 1.0)

    def value(self, W: Floats) -> float:
        return _vector_norm(W, self.p)

    def dual_value(self, M: Floats) -> float:
        return _vector_norm(M, self.q)

    def stretch(self, shape: tuple[int, ...]) -> float:
        # |x|_p <= D^(1/p - 1/2) |x|_2 for p < 2
        return 1.0 if self.p >= 2.0 else rounding.up(math.pow(math.prod(shape), 1.0 / self.p - 0.5), _POWER_ULPS + 8)

    def value_upper(self, W: Floats) -> float:
        return _vector_norm_up(np.abs(W), self.p)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        size = np.abs(M) if error is None else (np.abs(M) + error) * (1.0 + 4 * rounding.U)
        # The q-norm falls as q grows, so a q rounded down gives an upper bound.
        q = self.q if self.q in (1.0, 2.0, math.inf) else max(1.0, self.q * (1.0 - 8 * rounding.U))
        return _vector_norm_up(size, q)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace | None:
        if self.p == 1.0:
            return AlignedCoordinates.of(B, flat)
        return PinnedCoordinates.of(B, flat) if self.p == math.inf else None

    def dual_face(self, W: Floats, flat: float) -> AbstractFace | None:
        if self.p == 1.0:
            return PinnedCoordinates.of(W, flat)
        return AlignedCoordinates.of(W, flat) if self.p == math.inf else None


@dataclass(frozen=True)
class Lp(AbstractPowers):
    """The p-norm of beta, W = diag(beta)."""

    @property
    def name(self) -> str:
        return {2.0: "l2"}.get(self.p) or _with_exponent(self.p)

    @property
    def diagonal(self) -> bool:
        return True


@dataclass(frozen=True)
class EntryLp(AbstractPowers):
    """The p-norm of all entries of a full W (d, d_z); p = 2 is `Frobenius`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p == 2.0:
            raise InputError("norm: got the p-norm of all entries with p = 2; expected Frobenius(), which is this norm")

    @property
    def name(self) -> str:
        return f"entry-{_with_exponent(self.p)}"

    @property
    def diagonal(self) -> bool:
        return False


def combined_up(values: Sequence[float], p: float) -> float:
    """A number that the p-norm of nonnegative `values` does not exceed; inf where one of them is."""
    if not all(math.isfinite(x) for x in values):
        return math.inf
    return values[0] if len(values) == 1 else _vector_norm_up(np.array(values), p)


def combined_down(values: Sequence[float], p: float) -> float:
    """A number that the p-norm of nonnegative `values` is not below."""
    largest = max(values)
    if p == math.inf or largest == 0.0 or len(values) == 1:
        return largest
    if p == 1.0:
        return rounding.sum_down(np.array(values))
    total = rounding.down(rounding.sum_down((np.array(values) / largest) ** p), _POWER_ULPS + 2 * math.ceil(p))
    exponent = 2 + int(2 * math.log(max(total, 1.0)))
    return rounding.down(largest * math.pow(total, 1.0 / p), _POWER_ULPS + exponent + 4)


_POWER_ULPS: Final = 16
"""Roundings charged for one power x**p: the C library's pow and NumPy's vector code stay below 4 ulp."""


def _with_exponent(p: float) -> str:
    return {1.0: "l1", math.inf: "linf"}.get(p, f"lp:{float(p)!r}".removesuffix(".0"))


def _vector_norm(x: Floats, p: float) -> float:
    size = np.abs(x)
    largest = float(size.max(initial=0.0))
    if p == math.inf or largest == 0.0:
        return largest
    return largest * math.pow(float(np.sum((size / largest) ** p)), 1.0 / p)


def _vector_norm_up(size: Floats, p: float) -> float:
    """An upper bound of the p-norm of nonnegative numbers, `p` taken as an exact number."""
    size = size.ravel()
    largest = float(size.max(initial=0.0))
    if p == math.inf or largest == 0.0:
        return largest
    if p == 1.0:
        return rounding.sum_up(size)
    ratios = size / largest
    if p == 2.0:
        return rounding.up(largest * rounding.frobenius_up(ratios), 3)
    # Each ratio carries one rounding, which the p-th root turns back into one rounding of the result.
    total = rounding.sum_up(ratios**p, _POWER_ULPS) + len(size) * rounding.TINY
    # 1/p carries one rounding: total**(e/p) <= 1 + 2 e log(total), e = u.
    exponent = 2 + int(2 * math.log(max(total, 1.0)))
    return rounding.up(largest * math.pow(total, 1.0 / p), _POWER_ULPS + exponent + 4)

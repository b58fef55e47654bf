"""Optima of l1 and linf in rational numbers, for data simple enough: unique or not is then a matter of ranks.

Where weights and multipliers are ratios of small whole numbers, as for integer data, rounding them to such ratios gives
an exact optimum and an exact dual; both are checked, nothing is believed.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np

from marginflow.svm.optimum.exact import exact_kernel
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.proof.rational import differences, to_rational


Vector = list[Fraction]


@dataclass(frozen=True, eq=False)
class LinearOptimum:
    """An exact optimum of a linear program and an exact dual.

    Attributes:
        rows: (C, d) the constraints.
        beta: (d,) an optimum.
        dual: (C,) multipliers of the same value.
        free: the weights that an optimum may choose: those at |b_j| = 1 for l1, those at b_j = 0 for linf.
        largest: what |beta_j| may not exceed (linf); None for l1, where no weight may change its sign.
    """

    rows: list[Vector]
    beta: Vector
    dual: Vector
    free: list[int]
    largest: Fraction | None

    @cached_property
    def other(self) -> Vector | None:
        """Another exact optimum, or None where none was found; `determined` says when there is none."""
        for direction in self._kernel:
            for sign in (1, -1):
                step = [sign * x for x in direction]
                length = self._room(step)
                if length > 0:
                    return [x + length * y for x, y in zip(self.beta, step, strict=True)]
        return None

    @property
    def determined(self) -> bool:
        """Whether the constraints with positive multipliers leave no direction on the face."""
        return not self._kernel

    @cached_property
    def _kernel(self) -> list[Vector]:
        equations = [[row[j] for j in self.free] for row, x in zip(self.rows, self.dual, strict=True) if x]
        out = []
        for short in exact_kernel(equations, len(self.free)):
            whole = [Fraction(0)] * len(self.beta)
            for j, x in zip(self.free, short, strict=True):
                whole[j] = x
            out.append(whole)
        return out

    def _room(self, step: Vector) -> Fraction:
        """How far `step` may be followed while the norm stays and no constraint is broken; at most 1."""
        length = Fraction(1)
        for row in self.rows:
            fall = -sum((x * y for x, y in zip(row, step, strict=True)), Fraction(0))
            if fall > 0:
                slack = sum((x * y for x, y in zip(row, self.beta, strict=True)), Fraction(0)) - 1
                length = min(length, slack / fall)
        for x, y in zip(self.beta, step, strict=True):
            if self.largest is not None and y:
                length = min(length, (self.largest - (x if y > 0 else -x)) / abs(y))
            elif self.largest is None and x * y < 0:
                length = min(length, abs(x) / abs(y))
            elif self.largest is None and x == 0 and y:
                return Fraction(0)
        return length


def linear_optimum(optimum: Optimum) -> LinearOptimum | None:
    """The exact optimum and dual next to those found, for l1 and linf; None where simple ratios do not give them."""
    svm, norm = optimum.svm, optimum.svm.norm
    if not svm.diagonal or norm.strictly_convex or len(svm) * len(optimum.weights) > _TERMS:
        return None
    a, z = differences(svm.constraints.a, svm.slip), to_rational(svm.constraints.queries)
    rows = [[x * y for x, y in zip(p, q, strict=True)] for p, q in zip(a, z, strict=True)]
    beta, dual = _simple(optimum.weights), _simple(np.maximum(optimum.dual, 0.0))
    if any(sum((x * y for x, y in zip(row, beta, strict=True)), Fraction(0)) < 1 for row in rows):
        return None
    b = [sum((x * row[j] for x, row in zip(dual, rows, strict=True)), Fraction(0)) for j in range(len(beta))]
    sizes, pulls = [abs(x) for x in beta], [abs(x) for x in b]
    total = sum(dual, Fraction(0))
    if norm.sparse:
        if sum(sizes, Fraction(0)) != total or max(pulls) != 1:
            return None
        return LinearOptimum(rows, beta, dual, [j for j, x in enumerate(pulls) if x == 1], None)
    if max(sizes) != total or sum(pulls, Fraction(0)) != 1:
        return None
    return LinearOptimum(rows, beta, dual, [j for j, x in enumerate(pulls) if x == 0], total)


def _simple(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Vector:
    return [
        Fraction(value).limit_denominator(_DENOMINATOR) if math.isfinite(value) else Fraction(0) for value in x.tolist()
    ]


_DENOMINATOR: Final = 100_000
_TERMS: Final = 4_000
"""The largest denominator tried, and most entries of the rows."""

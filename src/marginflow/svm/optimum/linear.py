"""Optima of l1 and linf in rational numbers, for data simple enough: unique or not is then a matter of ranks.

The weights are a diagonal or all entries of W. Two guesses: weights and multipliers rounded to ratios of small whole
numbers, and the vertex of the active rows solved in rational numbers. Each is checked on both sides, none believed.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from marginflow.svm.optimum.exact import exact_kernel
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.elimination import solve_rational


Vector = list[Fraction]


@dataclass(frozen=True, eq=False)
class LinearOptimum:
    """An exact optimum of a linear program and an exact dual.

    Attributes:
        rows: (C, D) the constraints written out.
        level: (C,) their levels.
        equal: (C,) which are equalities.
        beta: (D,) an optimum: the diagonal, or the entries row by row.
        dual: (C,) multipliers of the same value.
        free: the weights that an optimum may choose: those at |b_j| = 1 for l1, those at b_j = 0 for linf.
        largest: what |beta_j| may not exceed (linf); None for l1, where no weight may change its sign.
    """

    rows: list[Vector]
    level: list[int]
    equal: list[bool]
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
        held = zip(self.rows, self.dual, self.equal, strict=True)
        equations = [[row[j] for j in self.free] for row, x, equal in held if x or equal]
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
        for row, level in zip(self.rows, self.level, strict=True):
            fall = -sum((x * y for x, y in zip(row, step, strict=True)), Fraction(0))
            if fall > 0:
                slack = sum((x * y for x, y in zip(row, self.beta, strict=True)), Fraction(0)) - level
                length = min(length, slack / fall)
        for x, y in zip(self.beta, step, strict=True):
            if self.largest is not None and y:
                length = min(length, (self.largest - (x if y > 0 else -x)) / abs(y))
            elif self.largest is None and x * y < 0:
                length = min(length, abs(x) / abs(y))
            elif self.largest is None and x == 0 and y:
                return Fraction(0)
        return length


@lru_cache(maxsize=4)
def linear_optimum(optimum: Optimum) -> LinearOptimum | None:
    """The exact optimum and dual next to those found, for l1 and linf; None where neither guess below is one."""
    svm, norm = optimum.svm, optimum.svm.norm
    if not norm.entrywise or norm.strictly_convex or len(svm) * optimum.weights.size > _TERMS:
        return None
    rows = rational.rows(svm)
    for pair in (_simple(optimum, rows), *(_vertex(optimum, rows, held) for held in _HELD)):
        found = None if pair is None else _checked(svm, rows, *pair)
        if found is not None:
            return found
    return None


def _checked(svm: Svm, rows: list[Vector], beta: Vector, dual: Vector) -> LinearOptimum | None:
    """The pair, if it is feasible on both sides and of one value."""
    sparse, level, equal = svm.norm.sparse, [int(x) for x in svm.constraints.level], svm.constraints.equal.tolist()
    if any(x < 0 and not free for x, free in zip(dual, equal, strict=True)):
        return None
    for row, least, same in zip(rows, level, equal, strict=True):
        margin = sum((x * y for x, y in zip(row, beta, strict=True)), Fraction(0))
        if margin < least or (same and margin != 0):
            return None
    b = [sum((x * row[j] for x, row in zip(dual, rows, strict=True)), Fraction(0)) for j in range(len(beta))]
    sizes, pulls = [abs(x) for x in beta], [abs(x) for x in b]
    total = sum((x for x, least in zip(dual, level, strict=True) if least), Fraction(0))
    if sparse:
        if sum(sizes, Fraction(0)) != total or max(pulls) != 1:
            return None
        return LinearOptimum(rows, level, equal, beta, dual, [j for j, x in enumerate(pulls) if x == 1], None)
    if max(sizes) != total or sum(pulls, Fraction(0)) != 1:
        return None
    return LinearOptimum(rows, level, equal, beta, dual, [j for j, x in enumerate(pulls) if x == 0], total)


def _simple(optimum: Optimum, rows: list[Vector]) -> tuple[Vector, Vector]:
    """Both rounded to ratios of small whole numbers, which they are for most integer data, vertex or not.

    They are counted in units of the largest entry of the rows, so that data in other units are as simple.
    """
    unit = max((abs(x) for row in rows for x in row), default=Fraction(0)) or Fraction(1)
    ratios = [
        [(Fraction(x) * unit).limit_denominator(_DENOMINATOR) / unit for x in values]
        for values in (
            np.nan_to_num(optimum.weights.ravel()).tolist(),
            np.nan_to_num(
                np.where(optimum.svm.constraints.equal, optimum.dual, np.maximum(optimum.dual, 0.0))
            ).tolist(),
        )
    ]
    return ratios[0], ratios[1]


def _vertex(optimum: Optimum, rows: list[Vector], held: float) -> tuple[Vector, Vector] | None:
    """The vertex of the active rows and the weights that are not at a bound, and its dual, where they are as many."""
    weights, share = optimum.weights.ravel(), np.abs(optimum.dual) * optimum.lengths
    size = np.abs(weights)
    active = np.flatnonzero((share > held * share.max(initial=0.0)) | optimum.svm.constraints.equal).tolist()
    level = [Fraction(optimum.svm.constraints.level[c]) for c in active]
    signs = [1 if x > 0 else -1 for x in weights]
    if optimum.svm.norm.sparse:
        chosen = np.flatnonzero(size > held * size.max()).tolist()
        matrix = [[rows[c][j] for j in chosen] for c in active]
        pull = [Fraction(signs[j]) for j in chosen]
    else:
        chosen = np.flatnonzero(size < (1.0 - held) * size.max()).tolist()
        fixed = [j for j in range(len(size)) if j not in chosen]
        bound = [sum((signs[j] * rows[c][j] for j in fixed), Fraction(0)) for c in active]
        matrix = [[t, *(rows[c][j] for j in chosen)] for t, c in zip(bound, active, strict=True)]
        pull = [Fraction(1), *([Fraction(0)] * len(chosen))]
    if not 0 < len(matrix) == len(pull) <= _SQUARE:
        return None
    found = solve_rational(matrix, level)
    multipliers = solve_rational([list(column) for column in zip(*matrix, strict=True)], pull)
    if found is None or multipliers is None:
        return None
    beta = [Fraction(0)] * len(size)
    if not optimum.svm.norm.sparse:
        beta = [signs[j] * found[0] for j in range(len(size))]
        found = found[1:]
    for j, x in zip(chosen, found, strict=True):
        beta[j] = x
    dual = [Fraction(0)] * len(rows)
    for c, x in zip(active, multipliers, strict=True):
        dual[c] = x
    return beta, dual


_DENOMINATOR: Final = 100_000
_TERMS: Final = 4_000
"""The largest denominator tried, and most entries of the rows."""

_HELD: Final = (1e-9, 1e-13)
"""What is below this share of the largest counts as zero in the guess of a vertex; the next where that was none."""

_SQUARE: Final = 24
"""The largest system solved in rational numbers."""

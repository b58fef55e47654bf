"""Bounds of one more margin over every W of bounded norm, in exact arithmetic (docs/attractors.md, Certificate).

Every W with N(W) <= U and margins at least 1 has <A_b, W> >= sum lambda - U N_d(sum lambda A - A_b), whatever
lambda >= 0. With lambda = t lambda* + delta, t large, the right side tends to the least value on the optimal
face; delta moves A_b into the part of the dual matrix that every optimum sees alike. Where the dual matrix has values
just below the largest, the face with these is tried too: outside, what is left of A_b costs its square over the gap.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.norms.faces import AbstractFace
from marginflow.problem.constraints import Constraints
from marginflow.selection.multipliers import multipliers
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class Pull:
    """A matrix A whose <A, W> is bounded, in the shape of the weights, and a bound of its rounding error by entry."""

    matrix: Floats
    error: Floats


@dataclass(frozen=True, eq=False)
class OptimalMargins:
    """Margins of further constraints over {W: margins >= 1, N(W) <= reach}, which holds every optimum of an SVM.

    Attributes:
        solution: an optimal solution with at least one constraint.
        others: (B,) the constraints whose margins are asked for.
        reach: the norm up to which weights count; the certified upper bound of the SVM when None.
    """

    solution: Solution
    others: Constraints
    reach: float | None = None

    @cached_property
    def values(self) -> Floats:
        """(B,) the margins at `solution.W`."""
        W = self.solution.beta if self.solution.norm.diagonal else self.solution.W
        return self.others.margins(W)

    def least(self, b: int) -> float:
        """A number that the margin of constraint `b` is not below at any W of the set."""
        return self._bound(b, 1.0, self._pull(b, 1.0))

    def most(self, b: int) -> float:
        """A number that the margin of constraint `b` is not above at any W of the set."""
        return -self._bound(b, -1.0, self._pull(b, -1.0))

    def least_above(self, b: int, needed: float) -> float:
        """`least`, with multipliers sought until it exceeds `needed` or weights of the set show that none do so."""
        return self._sought(b, 1.0, needed)

    def most_below(self, b: int, needed: float) -> float:
        """`most`, with multipliers sought until it is below `needed` or weights of the set show that none do so."""
        return -self._sought(b, -1.0, -needed)

    def _sought(self, b: int, sign: float, needed: float) -> float:
        pull = self._pull(b, sign)
        return self._improved(self._bound(b, sign, pull, needed), pull, needed)

    def _improved(self, bound: float, pull: Pull, needed: float) -> float:
        """`bound`, or a better one from multipliers of their own where it is not above `needed`."""
        if bound > needed:
            return bound
        solution = self.solution
        rows = np.argsort(solution.svm.margins(solution.svm.weights(solution.W)), kind="stable")[:_ROWS]
        if np.count_nonzero(solution.dual) > _ROWS:
            return bound
        # A set that is flat but for rounding has no inside to follow a path in.
        reach = max(self._upper, solution.certificate.lower * (1.0 + _FLAT_SET))
        start = self._best_length(np.zeros(len(solution.dual)), pull.matrix) * solution.dual
        dual = multipliers(solution.svm, rows, pull.matrix, reach=reach, start=start, needed=needed)
        if dual is None:
            return bound
        # Only multipliers >= 0 bound anything, and a search may end outside by rounding.
        return max(bound, self._certified(np.maximum(dual, 0.0), pull))

    def _bound(self, b: int, sign: float, pull: Pull, needed: float = math.inf) -> float:
        """The best of a few multipliers; the search ends with the first that show more than `needed`."""
        factors = (pull.matrix,) if self.solution.norm.diagonal else (sign * self.others.a[b], self._query(b))
        shifts = [face.shift(*(x[None] for x in factors)) for face in self._faces]
        best = -math.inf
        for shift in shifts or [np.zeros(len(self.solution.dual))]:
            for bound in self._with(shift, pull):
                best = max(best, bound)
                if best > needed:
                    return best
        return best

    def _with(self, shift: Floats, pull: Pull) -> Iterator[float]:
        """Bounds from multipliers of several lengths that are moved by `shift`."""
        if self.reach is not None:
            yield self._far(pull, shift)
            return
        start = self._start(pull.matrix, self.solution.certificate.gap)
        for times in _LENGTHS:
            yield self._certified(self._moved(start * times, shift), pull)

    @cached_property
    def _faces(self) -> "list[_Equations]":
        """The faces that the dual matrix shows, as far as they differ."""
        solution = self.solution
        B = self._adjoint(solution.dual)
        active = np.flatnonzero(solution.dual > _ACTIVE * solution.dual.max(initial=0.0))
        out: list[_Equations] = []
        for flat in _FLAT:
            face = solution.svm.norm.optimal_face(B, flat)
            if face is None or not len(active) or (out and face.dimension == out[-1].face.dimension):
                continue
            out.append(_Equations(solution, face, active))
        return out

    def least_of(self, pull: Pull, shift: Floats, needed: float) -> float:
        """A number that <A, W> is not below on the set, sought until it exceeds `needed`.

        Args:
            pull: A.
            shift: (C,) multipliers to begin with, up to the length of those of the SVM.
        """
        return self._improved(self._far(pull, shift), pull, needed)

    def _far(self, pull: Pull, shift: Floats) -> float:
        # Far from the optima the bound hangs on t: it is concave in t, and not every shift pays.
        best = -math.inf
        for moved in (shift, np.zeros_like(shift)) if shift.any() else (shift,):
            best = max(best, self._certified(self._moved(self._best_length(moved, pull.matrix), moved), pull))
        return best

    def _start(self, pull: Floats, slack: float) -> float:
        """The length of the multipliers at which what they gain and what the excess norm costs balance."""
        size = max(self.solution.norm.dual_value(pull), 1e-300)
        return size / math.sqrt(max(slack, _FLOOR))

    def _best_length(self, shift: Floats, pull: Floats) -> float:
        """t near the largest of the bounds (not certified), by golden sections in log t."""
        slack = self._upper / max(self.solution.certificate.lower, 1e-300) - 1.0
        start = self._start(pull, slack)
        grid = [start * 8.0**k for k in range(-3, 4)]
        values = [self._value(t, shift, pull) for t in grid]
        k = int(np.argmax(values))
        low, high = math.log(grid[max(k - 1, 0)]), math.log(grid[min(k + 1, len(grid) - 1)])
        for _ in range(_SECTIONS):
            left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
            if self._value(math.exp(left), shift, pull) > self._value(math.exp(right), shift, pull):
                high = right
            else:
                low = left
        return math.exp((low + high) / 2.0)

    @property
    def _upper(self) -> float:
        return self.solution.certificate.upper if self.reach is None else self.reach

    def _value(self, t: float, shift: Floats, pull: Floats) -> float:
        dual = self._moved(t, shift)
        return float(dual.sum()) - self._upper * self.solution.norm.dual_value(self._adjoint(dual) - pull)

    def _moved(self, t: float, shift: Floats) -> Floats:
        return np.maximum(t * self.solution.dual + shift, 0.0)

    def _certified(self, dual: Floats, pull: Pull) -> float:
        """sum lambda - reach N_d(sum lambda A - A_b) for lambda = `dual` >= 0, rounded down."""
        norm, terms = self.solution.norm, rounding.gamma(len(self.solution.constraints) + 8)
        M = self._adjoint(dual) - pull.matrix
        error = terms * (self._adjoint(dual, absolute=True) + np.abs(M)) + pull.error
        cost = rounding.up(self._upper * norm.dual_upper(M, error), 2)
        gained = rounding.sum_down(dual)
        return gained - cost - rounding.U * 4.0 * max(gained, cost)

    def _query(self, b: int) -> Floats:
        """(d_z,) of constraint `b` of the others."""
        return np.asarray(self.solution.constraints.z[int(self.others.sample[b])])

    def _pull(self, b: int, sign: float) -> Pull:
        """`sign` times A_b of the others, its diagonal for diagonal norms."""
        a, z = sign * self.others.a[b], self._query(b)
        matrix = a * z if self.solution.norm.diagonal else np.outer(a, z)
        return Pull(matrix, np.abs(matrix) * (4 * rounding.U) + rounding.TINY)

    def _adjoint(self, dual: Floats, *, absolute: bool = False) -> Floats:
        """sum_c dual_c A_c, or the same of absolute values; its diagonal for diagonal norms."""
        own = self.solution.constraints
        if self.solution.norm.diagonal:
            return np.asarray(dual @ (np.abs(own.diagonal) if absolute else own.diagonal))
        if absolute:
            return np.asarray((np.abs(own.a) * dual[:, None]).T @ np.abs(own.queries))
        return own.adjoint(dual)


@dataclass(frozen=True, eq=False)
class _Equations:
    """The active constraints of a solution on a face, as equations for changes of the multipliers.

    On the optimal face all W agree on the known part; what A_b has in the free one is made up for by active
    constraints, whose margins are 1 there, and by the dual matrix, whose product with W is the value.
    """

    solution: Solution
    face: AbstractFace
    active: Ints

    @cached_property
    def _inverse(self) -> Floats:
        """(A + 1, dimension) the pseudo-inverse."""
        own, active = self.solution.constraints, self.active
        rows = (own.diagonal[active],) if self.solution.norm.diagonal else (own.a[active], own.queries[active])
        free = self.face.free(*rows)
        return np.linalg.pinv(np.column_stack([free.T, -(self.solution.dual[active] @ free)]), rcond=_RANK)

    def shift(self, *factors: Floats) -> Floats:
        """(C,) changes of the multipliers that make a_b z_b' act alike on every optimum, if that can be."""
        out = np.zeros(len(self.solution.dual))
        out[self.active] = (self._inverse @ self.face.free(*factors)[0])[:-1]
        return out


_FLOOR: Final = 1e-15
"""Gaps below this are rounding."""

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_SECTIONS: Final = 8

_ROWS: Final = 400
"""How many constraints get multipliers of their own, those of least margin; where more act none do, for its cost."""

_FLAT_SET: Final = 1e-10
"""The least relative room between the norms of the optimum and of the set in which multipliers are sought."""

_FLAT: Final = (1e-6, 1e-3)
"""Distances from 1 below which a dual singular value counts as 1."""

_LENGTHS: Final = (1.0, 1.0 / 30.0, 30.0, 0.1, 10.0)
"""Of the multipliers, over that at which gains and costs of a gap of the face balance."""

_RANK: Final = 1e-10
"""What is below this share of the largest singular value of a face's equations counts as none."""

_ACTIVE: Final = 1e-7
"""Multipliers above this share of the largest are positive for certain."""

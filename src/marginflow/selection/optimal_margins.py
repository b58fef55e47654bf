"""Bounds of one more margin over every optimal W, in exact arithmetic (docs/attractors.md, Certificate).

Every W with N(W) <= U and margins at least 1 has <A_b, W> >= sum lambda - U N_d(sum lambda A - A_b), whatever
lambda >= 0. With lambda = t lambda* + delta, t large, the right side tends to the least value on the optimal
face; delta moves A_b into the part of the dual matrix that every optimum sees alike.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.problem.constraints import Constraints
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class OptimalMargins:
    """Margins of further constraints at the optima of a solved SVM.

    Attributes:
        solution: an optimal solution with at least one constraint.
        others: (B,) the constraints whose margins are asked for.
    """

    solution: Solution
    others: Constraints

    @cached_property
    def values(self) -> Floats:
        """(B,) the margins at `solution.W`."""
        W = self.solution.beta if self.solution.norm.diagonal else self.solution.W
        return self.others.margins(W)

    def least(self, b: int) -> float:
        """A number that the margin of constraint `b` exceeds at every optimum."""
        return self._bound(b, 1.0)

    def most(self, b: int) -> float:
        """A number that the margin of constraint `b` stays below at every optimum."""
        return -self._bound(b, -1.0)

    def _bound(self, b: int, sign: float) -> float:
        solution, norm = self.solution, self.solution.norm
        own = solution.constraints
        pull, rounded = self._matrix(sign * self.others.a[b], int(self.others.sample[b]))
        size = max(norm.dual_value(pull), 1e-300)
        shift = self._shift(pull)
        terms = rounding.gamma(len(own) + 8)
        start = size / math.sqrt(max(solution.certificate.gap, _FLOOR))
        best = -math.inf
        for t in (start, start / 30.0, start * 30.0):
            dual = np.maximum(t * solution.dual + shift, 0.0)
            M = self._adjoint(dual) - pull
            error = terms * (self._adjoint(dual, absolute=True) + np.abs(M)) + rounded
            cost = rounding.up(solution.certificate.upper * norm.dual_upper(M, error), 2)
            gained = rounding.sum_down(dual)
            best = max(best, gained - cost - rounding.U * 4.0 * max(gained, cost))
        return best

    def _matrix(self, a: Floats, i: int) -> tuple[Floats, Floats]:
        """a z_i' (its diagonal for diagonal norms) and a bound of its rounding error."""
        z = self.solution.constraints.z[i]
        pull = a * z if self.solution.norm.diagonal else np.outer(a, z)
        return pull, np.abs(pull) * (4 * rounding.U) + rounding.TINY

    def _adjoint(self, dual: Floats, *, absolute: bool = False) -> Floats:
        """sum_c dual_c A_c, or the same of absolute values; its diagonal for diagonal norms."""
        own = self.solution.constraints
        if self.solution.norm.diagonal:
            return np.asarray(dual @ (np.abs(own.diagonal) if absolute else own.diagonal))
        if absolute:
            return np.asarray((np.abs(own.a) * dual[:, None]).T @ np.abs(own.queries))
        return own.adjoint(dual)

    def _shift(self, pull: Floats) -> Floats:
        """(C,) changes of the multipliers that make `pull` act alike on every optimum, if that can be."""
        face = self._face
        out = np.zeros(len(self.solution.dual))
        if face.equations is not None:
            out[face.active] = np.linalg.lstsq(face.equations, face.seen(pull), rcond=1e-10)[0][:-1]
        return out

    @cached_property
    def _face(self) -> "_Face":
        solution = self.solution
        if solution.norm.strictly_convex:
            return _Face(None, _Seen(), np.zeros(0, dtype=np.intp))
        active = np.flatnonzero(solution.dual > _ACTIVE * solution.dual.max(initial=0.0))
        M = self._adjoint(solution.dual)
        if solution.norm.diagonal:
            seen = _Seen(coordinates=np.flatnonzero(np.abs(M) >= 1.0 - _FLAT), signs=M)
            rows = [seen(r) for r in solution.constraints.diagonal[active]]
        else:
            U, s, Vt = np.linalg.svd(M, full_matrices=False)
            r = int((s >= 1.0 - _FLAT).sum())
            seen = _Seen(left=U[:, :r], right=Vt[:r])
            own = solution.constraints
            rows = [seen(np.outer(own.a[c], own.queries[c])) for c in active]
        count = len(rows[0]) if rows else 0
        ones = seen.identity(count)
        return _Face(np.column_stack([*rows, -ones]) if rows else None, seen, active)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the optimal face of the norm sees of a dual matrix."""

    left: Floats | None = None
    right: Floats | None = None
    coordinates: Ints | None = None
    signs: Floats | None = None

    def __call__(self, M: Floats) -> Floats:
        if self.coordinates is not None and self.signs is not None:
            return np.asarray(np.sign(self.signs[self.coordinates]) * M[self.coordinates])
        assert self.left is not None and self.right is not None
        block = self.left.T @ M @ self.right.T
        return np.asarray((block + block.T)[np.triu_indices(len(block))] / 2.0)

    def identity(self, count: int) -> Floats:
        """What it sees of the dual matrix itself."""
        if self.left is None:
            return np.ones(count)
        return np.eye(self.left.shape[1])[np.triu_indices(self.left.shape[1])]


@dataclass(frozen=True, eq=False)
class _Face:
    equations: Floats | None
    seen: _Seen
    active: Ints


_FLOOR: Final = 1e-15
"""Gaps below this are rounding."""

_FLAT: Final = 1e-6
"""Distance from 1 below which a dual singular value counts as 1."""

_ACTIVE: Final = 1e-7
"""Multipliers above this share of the largest are positive for certain."""

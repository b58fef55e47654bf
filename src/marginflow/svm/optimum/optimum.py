"""What rank, radius and uniqueness read: a solved SVM, and how far the exact optima can be from what was found."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.norms.faces import AbstractFace
from marginflow.svm.optimum.singular import least_singular_down
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import Certificate, dual_matrix, leading_margins, margins_down
from marginflow.svm.proof.equalities import alike, spanning


@dataclass(frozen=True, eq=False)
class Optimum:
    """A solved SVM. Everything here holds for *every* optimal W and every optimal dual, in exact arithmetic.

    Attributes:
        svm: the problem.
        weights: separating weights, (d, d_z) or (d,).
        dual: (C,) multipliers with N_d(adjoint(dual)) <= 1, up to rounding; those of equalities of any sign.
        certificate: bounds of the value.
        tol: the gap that was asked for.
    """

    svm: Svm
    weights: Floats
    dual: Floats
    certificate: Certificate
    tol: float

    @property
    def found(self) -> bool:
        """Whether both sides prove something."""
        return math.isfinite(self.certificate.upper) and self.certificate.lower > 0.0

    @cached_property
    def flat(self) -> float:
        """Distance from 1 (of dual singular values) or from 0 (of multipliers) that counts as none."""
        return max(1e-6, math.sqrt(self.certificate.gap))

    @cached_property
    def B(self) -> Floats:
        """The dual matrix."""
        return self.svm.adjoint(self.dual)

    @cached_property
    def margins(self) -> Floats:
        """(C,) lower bounds of the margins of `weights`."""
        return margins_down(self.svm, self.weights)

    @cached_property
    def least_margin(self) -> float:
        """A lower bound of the least margin of level 1 of weights that meet all other rows exactly, `moved` away."""
        return float(self._leading[0].min())

    @cached_property
    def moved(self) -> float:
        """How far from `weights`, Frobenius, weights are at most that meet equalities and rows of level 0 exactly."""
        return self._leading[1]

    @cached_property
    def _leading(self) -> tuple[Floats, float]:
        return leading_margins(self.svm, self.weights, False)

    @cached_property
    def total(self) -> float:
        """The sum of the multipliers of level 1, rounded down."""
        return rounding.sum_down(self.dual if self.svm.plain else self.dual[self.svm.leads])

    @cached_property
    def face(self) -> AbstractFace | None:
        """Where every optimal W lies, as the dual matrix shows it; None for strictly convex norms."""
        return self.svm.norm.optimal_face(self.B, self.flat)

    @cached_property
    def dual_face(self) -> AbstractFace | None:
        """Where every optimal dual matrix lies, as the weights show it; None for strictly convex norms."""
        return self.svm.norm.dual_face(self.weights, self.flat)

    @cached_property
    def radius(self) -> float:
        """Every optimal W is within this Frobenius (Euclidean) distance of `weights`; inf where nothing bounds it."""
        if not self.found or self.face is None:
            return math.inf
        svm, face = self.svm, self.face
        upper = self._length
        size = svm.norm.dual_upper(*dual_matrix(svm, self.dual))
        total = self.total
        # <B, W*> >= sum dual and N(W*) <= upper: the slack along B; a margin above its level costs its multiplier.
        slack = rounding.up(max(size * upper - total, 0.0), 8) + self._rounding * size * upper
        if svm.constraints.equal.any():
            slack += rounding.up(float(np.abs(self.dual[svm.constraints.equal]) @ self._off[svm.constraints.equal]), 64)
        lost = face.error(slack, upper) + face.skew * upper
        if not math.isfinite(lost):
            return math.inf
        active = self.active
        length = self.lengths[active]
        if len(active) * face.dimension > _ENTRIES:
            return math.inf
        E = face.free(*self.factors(active))
        least = least_singular_down(E)
        if not least > 0.0:
            return math.inf if face.dimension else rounding.up(2.0 * lost, 8)
        # Equalities are met by every optimum; by `weights` up to rounding.
        held = svm.constraints.equal[active]
        costs = np.where(held, 1.0, self.dual[active] * length)
        off = float(np.linalg.norm(np.where(held, self._off[active] / length, slack / costs)))
        off += 2.0 * self.stretch(active) * (lost + self._rounding * upper)
        return rounding.up(off / least + 2.0 * lost, 32)

    @cached_property
    def dual_spread(self) -> "DualSpread | None":
        """How far the optimal multipliers can be from `dual`; None where nothing bounds them."""
        if not self.found or self.dual_face is None:
            return None
        svm, face = self.svm, self.dual_face
        size = svm.norm.value_upper(self.weights)
        margin, level = self.least_margin, svm.constraints.level
        if not margin > 0.0:
            return None
        total = self.total / svm.norm.dual_upper(*dual_matrix(svm, self.dual))
        # <B*, W> = sum lambda*_c m_c with N_d(B*) <= 1: the slack along W; margins above the least cost multipliers.
        slack = rounding.up(max(size - margin * total, 0.0), 8) + self._rounding * size
        if self.moved > 0.0:
            # <B*, W'> for the W' that meets the other rows: N_d(B*) <= 1.
            slack += 2.0 * svm.norm.stretch(svm.shape) * self.moved
        over = self.margins - margin * level
        near = (over <= self.flat) | svm.constraints.equal
        rows = np.zeros(len(svm))
        rows[~near] = 2.0 * slack / over[~near] * self.lengths[~near]
        away = float(rows.sum())
        # Multipliers of dependent equalities are moved to independent ones that span them exactly.
        some = spanning(svm, svm.constraints.equal)
        if some is None:
            return None
        others = np.flatnonzero(near & ~svm.constraints.equal)
        # Rows that differ by equalities only share a multiplier as copies do.
        first = alike(svm, others, some)
        kept = self._distinct(np.union1d(first, some))
        lost = face.error(slack, 1.0) + face.skew + self._rounding
        factors = self.factors(kept)
        if len(kept) * math.prod(self.svm.shape) > _ENTRIES or not math.isfinite(lost):
            return None
        # What the face leaves open is how large B* is as a whole: <B*, W> = N(W) says that.
        whole = np.where(level[kept] > 0.0, self.margins[kept], 0.0) / (self.lengths[kept] * size)
        T = np.vstack([face.known(*factors).T, whole])
        least = least_singular_down(T)
        if not least > 0.0:
            return None
        residual = rounding.up(2.0 * lost + slack / size + 2.0 * away, 64)
        moved = rounding.up(residual / least, 64)
        # Row by row: x = P T x + (1 - P T) x with any P near the pseudo-inverse of T.
        P = np.linalg.pinv(T)
        left = np.linalg.norm(np.eye(len(kept)) - P @ T, axis=1) + self._rounding * np.linalg.norm(P, axis=1) * len(T)
        own = dict(zip(kept.tolist(), np.linalg.norm(P, axis=1) * residual + left * moved, strict=True))
        rows[near] = moved
        for c, bound in own.items():
            rows[c] = min(moved, bound * (1.0 + 1e-9))
        if len(some):
            rows[others] = rows[first] * (self.lengths[others] / self.lengths[first]) * (1.0 + 1e-12)
        return DualSpread(rows, rounding.up(self.stretch(kept) * moved + away, 64))

    @cached_property
    def active(self) -> Ints:
        """Constraints whose multiplier is large enough to hold every optimum's margin near 1."""
        share = self.dual * self.lengths
        equal = self.svm.constraints.equal
        return np.flatnonzero((share > 0.1 * self.flat * share[~equal].max(initial=0.0)) | equal)

    @cached_property
    def _length(self) -> float:
        """A bound of the optimal norm."""
        if self.svm.plain:
            return rounding.up(self.svm.norm.value_upper(self.weights) / float(self.margins.min()), 4)
        return self.certificate.upper

    @cached_property
    def _off(self) -> Floats:
        """(C,) upper bounds of the sizes of the margins of `weights`."""
        return np.maximum(np.abs(self.margins), np.abs(margins_down(self.svm, -self.weights)))

    @cached_property
    def lengths(self) -> Floats:
        """(C,) |a_c||z_c|, the length of each row."""
        rows = self.svm.constraints
        if self.svm.diagonal:
            return np.maximum(np.linalg.norm(rows.diagonal, axis=1), 1e-300)
        return np.asarray(np.linalg.norm(rows.a, axis=1) * np.linalg.norm(rows.queries, axis=1))

    def factors(self, chosen: Ints) -> tuple[Floats, ...]:
        """The factors of the rows `chosen`, of length one."""
        rows = self.svm.constraints
        if self.svm.diagonal:
            return (rows.diagonal[chosen] / self.lengths[chosen, None],)
        a, z = rows.a[chosen], rows.queries[chosen]
        return a / np.linalg.norm(a, axis=1)[:, None], z / np.linalg.norm(z, axis=1)[:, None]

    def stretch(self, chosen: Ints) -> float:
        """What the norm of the unit rows `chosen`, as a map from matrices to margins, does not exceed."""
        gram = np.ones((len(chosen), len(chosen)))
        for factor in self.factors(chosen):
            gram *= factor @ factor.T
        largest = float(np.abs(gram).sum(axis=1).max(initial=0.0))
        return rounding.up(math.sqrt(largest) + self._rounding * len(chosen), 32)

    def _distinct(self, chosen: Ints) -> Ints:
        """One of each set of equal rows among `chosen`: copies share a multiplier in any way they like."""
        factors = self.factors(chosen)
        if len(factors) == 2:
            # (-a)(-z)' is a z'.
            first = np.take_along_axis(factors[1], np.abs(factors[1]).argmax(axis=1)[:, None], axis=1)
            factors = (factors[0] * np.sign(first), factors[1] * np.sign(first))
        rows = np.concatenate(factors, axis=1) + 0.0
        return chosen[np.unique(rows, axis=0, return_index=True)[1]]

    @cached_property
    def _rounding(self) -> float:
        """Room for the rounding of what is computed from unit rows and orthonormal bases."""
        return rounding.gamma(8 * sum(self.svm.constraints.shape) + 64) * _MARGIN


@dataclass(frozen=True, eq=False)
class DualSpread:
    """Every optimal dual is within this of the one found.

    Attributes:
        rows: (C,) for each multiplier, times the length of its row; for copies of a row, and for rows that differ by
            equalities only, for their sum.
        matrix: for the dual matrix, Frobenius.
    """

    rows: Floats
    matrix: float


_ENTRIES: Final = 4_000_000
"""Most entries of a system whose least singular value is computed."""

_MARGIN: Final = 8.0
"""Times the rounding of one inner product that is charged for a chain of a few."""

"""Rows shown to be linearly independent, and least-norm solutions of equations in them, enclosed.

For rows A_c with Gram matrix G >= mu I and numbers r, y* = G^-1 r solves <A_c, sum y* A> = r_c. Whatever y is: with
q_c = r_c - <A_c, sum y A>, |y* - y| <= |q| / mu and |sum y* A - sum y A| = sqrt(q' G^-1 q) <= |q| / sqrt(mu).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import dual_matrix, margins_down
from marginflow.svm.proof.full_rank import runs_through


@dataclass(frozen=True, eq=False)
class Combination:
    """Multiples of rows next to the exact ones of an equation.

    Attributes:
        dual: (C,) the multiples.
        off: the exact ones differ by no more than this, Euclidean.
        weights: sum dual A, in the shape of the weights.
        away: the exact sum differs from it by no more than this, Euclidean.
    """

    dual: Floats
    off: float
    weights: Floats
    away: float

    @property
    def size(self) -> float:
        """What the Euclidean norm of the exact sum does not exceed."""
        return rounding.up(rounding.frobenius_up(self.weights) + self.away, 2)


@dataclass(frozen=True, eq=False)
class IndependentRows:
    """Rows of which no combination vanishes.

    Attributes:
        svm: the C rows, as constraints.
        factor: the Cholesky factor of G, for solutions that need no proof.
        least: a number > 0 that no eigenvalue of G is below.
    """

    svm: Svm
    factor: tuple[Floats, bool]
    least: float

    @classmethod
    def of(cls, svm: Svm) -> "IndependentRows | None":
        """The rows of `svm`; None where it is not shown that they are independent."""
        G = svm.constraints.diagonal @ svm.constraints.diagonal.T if svm.diagonal else svm.constraints.gram()
        if not np.isfinite(G).all():
            return None
        try:
            factor = cho_factor(G, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        vector = np.ones(len(G))
        for _ in range(_POWERS):
            vector = cho_solve(factor, vector / np.linalg.norm(vector), check_finite=False)
        # Entries of G carry the roundings of two inner products and of a_c being a rounded difference; that Cholesky's
        # method runs through is a statement up to gamma(C + 1) (Higham, ch. 10, theorem 10.3).
        roundings = rounding.gamma(sum(svm.constraints.shape) + 16) + rounding.gamma(len(G) + 2) * (1.0 + 1e-9)
        lost = rounding.up(roundings * rounding.sum_up(G.diagonal(), 1), 8)
        for share in _SHARES:
            shift = share / float(np.linalg.norm(vector)) + lost
            if runs_through(G.copy(), shift):
                least = rounding.down(shift - lost, 4)
                return cls(svm, factor, least) if least > 0.0 else None
        return None

    def solve(self, low: Floats, high: Floats) -> Combination:
        """The combination whose products with the rows are some r, low <= r <= high (C,), whichever."""
        r = (low + high) / 2.0
        dual = np.zeros(len(r))
        for _ in range(2):
            dual = dual + cho_solve(self.factor, r - self.svm.margins(self.svm.adjoint(dual)), check_finite=False)
        weights, error = dual_matrix(self.svm, dual)
        rounded = rounding.frobenius_up(error)
        below, above = margins_up_and_down(self.svm, weights, rounded)
        left = np.maximum(np.abs(high - below), np.abs(low - above)) * (1.0 + 8 * rounding.U)
        size = rounding.frobenius_up(left)
        away = rounding.up(rounded + size / math.sqrt(self.least), 4)
        return Combination(dual, rounding.up(size / self.least, 2), weights, away)


def margins_up_and_down(svm: Svm, weights: Floats, away: float = 0.0) -> tuple[Floats, Floats]:
    """(C,) lower and upper bounds of the margins of any weights no farther than `away` from these, Euclidean."""
    moved = lengths_up(svm) * away
    low, high = margins_down(svm, weights) - moved, -margins_down(svm, -weights) + moved
    spare = (np.abs(low) + moved) * (4 * rounding.U)
    return low - spare, high + spare


def lengths_up(svm: Svm) -> Floats:
    """(C,) the |A_c|, rounded up."""
    rows = svm.constraints
    parts = (rows.diagonal,) if svm.diagonal else (rows.a, rows.queries)
    out = np.ones(len(rows))
    for part in parts:
        out = out * np.linalg.norm(part, axis=1)
    return np.asarray(out * (1.0 + rounding.gamma(sum(rows.shape) + 16)) + rounding.TINY)


_POWERS: Final = 8
"""Inverse iterations for a guess of the least eigenvalue."""

_SHARES: Final = (0.5, 0.1, 0.01)
"""Of the guess, what is tried to be shown."""

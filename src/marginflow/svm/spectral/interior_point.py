"""The course of a primal-dual interior point method, whose steps the norms bring along (docs/svm-nuclear.md, 4).

Every step leaves weights and multipliers; both are judged by their own bounds, whatever the program believes.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.first_order import Norm, Point, feasible, lower_bound


STEPS = 100
NEVER = 1_000_000  # more first-order steps than are ever made

Pair = tuple[Floats, Floats]
"""W (d, d_z) and lambda (C,) > 0 of one step."""


class SemidefiniteNorm(Norm, Protocol):
    """A norm that is a semidefinite program."""

    def patience(self, A: Operator) -> int:
        """How many first-order steps to wait before interior points, which may cost more, or `NEVER`."""

    def interior(self, A: Operator, guess: Point) -> Iterator[Pair]:
        """The steps of an interior point method, from the bounds of `guess` alone."""


def interior_point(A: Operator, norm: SemidefiniteNorm, start: Point, tol: float, hopeless: float) -> tuple[Point, int]:
    """Solve from scratch; return the best point met, `start` included, and the number of steps.

    Stops at gap `tol`, at a lower bound beyond `hopeless`, or when steps no longer help.
    """
    best, own = start, Point(start.W, start.dual, np.inf, 0.0)
    stale = steps = 0
    try:
        for step, (W, dual) in enumerate(norm.interior(A, start)):
            steps = step
            W, upper = feasible(A, norm, W, norm.value(W), A.margins(W))
            lower = lower_bound(A, dual, norm.dual_value(A.adjoint(dual)))
            stale = 0 if upper < own.upper or lower > 1.01 * own.lower else stale + 1
            own = own.or_better(Point(W, dual, upper, lower))
            best = start.or_better(own)
            if best.gap <= tol or best.lower > hopeless or stale > 6 or step == STEPS:
                break
    except np.linalg.LinAlgError:  # a cone's matrix is no longer positive definite in float64
        pass
    return best, steps

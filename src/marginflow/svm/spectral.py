"""The loop that the nuclear and the operator norm share: first-order steps until a finisher takes over."""

import time
from collections.abc import Callable

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.face_newton import face_newton
from marginflow.svm.first_order import Norm, Point, iterate, lower_bound
from marginflow.svm.presolve import Operator, presolve, zero_row


Progress = Callable[[int, float], object]

HOPELESS = 1e11
"""A proved lower bound on N(W) / max_c h_c beyond which the data are called infeasible: float64 cannot tell."""


def solve_spectral(
    constraints: Constraints,
    norm: Norm,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
    steps: int = 50_000,
) -> Candidate:
    """Minimise N(W) subject to the constraints; see `solve_nuclear`."""
    zero = zero_row(constraints)
    if zero is not None:
        ray = np.zeros(len(constraints))
        ray[zero] = 1.0
        return Candidate(np.zeros(constraints.shape), ray, ray)
    reduced = presolve(constraints)
    A = reduced.operator
    best = Point(np.zeros(A.shape), np.zeros(len(A)), np.inf, 0.0)
    ray: Floats | None = None
    counts: dict[str, int] = {"first_order": 0}
    due, tried = 3e-2, 0
    interrupted, told = False, time.monotonic()
    try:
        for total, point, grown in iterate(A, norm):
            best = best.or_better(point)
            counts["first_order"] = total
            if best.gap <= tol / 4 or total >= steps:
                break
            if best.gap < due or (best.gap < 0.03 and total >= 2 * tried):
                tried = total
                best, steps_ = face_newton(A, norm, best, tol / 4, most=4000)
                counts["newton"] = counts.get("newton", 0) + steps_
                if best.gap <= tol / 4:
                    break
                due = best.gap / 5.0
            if best.upper == np.inf and total % 50 == 0:
                ray = _ray(A, norm, (best.dual, grown))
                if ray is not None:
                    break
            if progress is not None and time.monotonic() - told > 0.3:
                told = time.monotonic()
                progress(total, best.gap)
    except KeyboardInterrupt:
        interrupted = True
    return Candidate(
        reduced.restore(best.W),
        reduced.restore_dual(best.dual),
        None if ray is None else reduced.restore_dual(ray),
        counts,
        interrupted,
    )


def _ray(A: Operator, norm: Norm, directions: tuple[Floats, ...]) -> Floats | None:
    """A direction of unbounded dual among `directions`, if one proves the data hopeless."""
    for dual in directions:
        if lower_bound(A, dual, norm.dual_value(A.adjoint(dual))) > HOPELESS * float(A.h.max()):
            return dual
    return None

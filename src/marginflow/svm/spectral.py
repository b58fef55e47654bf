"""The loop that the nuclear and the operator norm share: first-order steps until a finisher takes over."""

import time
from collections.abc import Callable

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.face_newton import CurvedNorm, face_newton
from marginflow.svm.first_order import Norm, Point, iterate, lower_bound, upper_bound
from marginflow.svm.interior_point import interior_point
from marginflow.svm.presolve import Operator, presolve, zero_row


Progress = Callable[[int, float], object]

HOPELESS = 1e11  # a lower bound on N(W) / max h from which float64 cannot tell the data from infeasible
NEWTON = 4000  # constraints carrying dual above which first-order steps reach 1e-9 sooner (design 6)
DENSE = 1_000_000  # entries of a dense system of binding rows
INTERIOR = 3000  # constraints above which the interior point's C x C matrix is too large


def solve_spectral(
    constraints: Constraints,
    norm: CurvedNorm,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
    interior: bool = False,
    steps: int = 20_000,
) -> Candidate:
    """Minimise N(W) subject to the constraints; see `solve_nuclear`."""
    zero = zero_row(constraints)
    if zero is not None:
        ray = np.zeros(len(constraints))
        ray[zero] = 1.0
        return Candidate(np.zeros(constraints.shape), ray, ray)
    reduced = presolve(constraints)
    A = reduced.operator
    target, hopeless = tol / 4.0, HOPELESS * float(A.h.max())
    best = Point(np.zeros(A.shape), np.zeros(len(A)), np.inf, 0.0)
    counts = {"first_order": 0}
    ray: Floats | None = None
    polish_below, polished, told = 0.03, 0, time.monotonic()
    patience = 100 + len(A) if interior and len(A) <= INTERIOR else 0
    interrupted = False
    try:
        for total, point, grown in iterate(A, norm):
            best = best.or_better(point)
            counts["first_order"] = total
            if best.gap <= target or total >= steps:
                break
            if best.gap < polish_below or (best.gap < 0.03 and total >= 2 * polished):
                best, newton = face_newton(A, norm, best, target, most=NEWTON)
                counts["newton"] = counts.get("newton", 0) + newton
                if best.gap <= target:
                    break
                polish_below, polished = best.gap / 5.0, total
            if total % 50 == 0 and best.gap > 0.5:
                ray = _ray(A, norm, (best.dual, grown), hopeless)
                if ray is not None:
                    break
            if patience and total >= patience:
                patience = 0
                best, counts["interior_point"] = interior_point(A, norm, best, target, hopeless)
                best = _tighten(A, norm, best)
                if best.gap > target:
                    best, newton = face_newton(A, norm, best, target, most=NEWTON)
                    counts["newton"] = counts.get("newton", 0) + newton
                ray = _ray(A, norm, (best.dual,), hopeless)
                if best.gap <= target or ray is not None:
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


def _ray(A: Operator, norm: Norm, directions: tuple[Floats, ...], hopeless: float) -> Floats | None:
    """A direction along which the dual grows without bound, if one of `directions` proves it."""
    for dual in directions:
        if lower_bound(A, dual, norm.dual_value(A.adjoint(dual))) > hopeless:
            return dual
    return None


def _tighten(A: Operator, norm: Norm, point: Point) -> Point:
    """Make the binding margins equal by the least change of W, through a dense least-squares solution.

    Where the data are nearly infeasible W is so long that its last digits decide the least margin, and their
    Gram matrix is singular in float64 while the rows are not.
    """
    margins = A.margins(point.W)
    binding = float(point.dual @ margins)
    if not binding > 0.0:
        return point
    length = float(point.dual @ A.h) / binding
    W, slack = length * point.W, length * margins / A.h - 1.0
    lam = point.dual * A.h
    J = np.flatnonzero(lam > lam.mean() * slack)
    if len(J) * W.size > DENSE:
        return point
    rows = (A.a[J][:, :, None] * A.queries[A.sample[J]][:, None, :]).reshape(len(J), -1)
    change = np.linalg.lstsq(rows, A.h[J] - length * margins[J], rcond=None)[0]
    W = W + change.reshape(W.shape)
    return point.or_better(Point(W, point.dual, upper_bound(A, norm.value(W), A.margins(W)), point.lower))

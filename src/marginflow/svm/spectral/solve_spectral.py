"""The course of a solve, shared by the nuclear and the operator norm (docs/svm-nuclear.md, section 1).

First-order steps run until Newton's method on the face finishes in a few steps. Where neither gets anywhere,
interior points and a dense least-squares correction take over.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.scaling.cancelling import cancelling
from marginflow.svm.scaling.independent import independent, spread
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.scaling.presolve import Presolved, presolve
from marginflow.svm.spectral.face import CurvedNorm
from marginflow.svm.spectral.face_newton import DIRECT, FACTORED, face_newton
from marginflow.svm.spectral.first_order import Point, feasible, iterate, lower_bound
from marginflow.svm.spectral.fixed_rank import on_fixed_rank
from marginflow.svm.spectral.interior_point import NEVER, SemidefiniteNorm, interior_point


Progress = Callable[[int, float], object]


class SpectralNorm(CurvedNorm, SemidefiniteNorm, Protocol):
    """A norm of singular values, with all that this course needs.

    Attributes:
        low_rank: whether its optima have few of them.
        polish: the gap below which Newton's method has a chance.
        again: times the first-order steps, after which it is tried again.
    """

    low_rank: bool
    polish: float
    again: float


HOPELESS = 1e11  # a lower bound on N(W) / max h from which float64 cannot tell the data from infeasible
NEWTON_HELD = 1500  # rows with equalities above which first-order steps win: 0.7 s instead of 11 with 4,900
DENSE = 1_000_000  # entries of a dense system of binding rows
NEAR = 0.01  # gap from which Newton's method ends unless its systems are solved badly
CANCEL = 50  # first-order steps without weights that separate before multipliers are made to cancel, then twice as many
STEPS = 20_000  # first-order steps
NEARLY_SOLVED = 1e-6  # gap after interior points below which first-order steps gain little
FINAL_STEPS = 1000  # first-order steps still made below it


def solve_spectral(
    svm: Svm,
    norm: SpectralNorm,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
    xp: AbstractNamespace = NUMPY,
) -> Candidate:
    """Minimise N(W) subject to the constraints to a gap of tol/4, by the search's own bounds.

    Args:
        svm: C >= 1 constraints, none of them zero.
        norm: the norm and its faces.
        tol: the relative gap that the certificate should reach.
        progress: called as progress(iteration, gap) a few times per second.
        start: a solution of similar constraints.
        xp: where products with the constraints are made, and first-order steps.
    """
    if svm.constraints.equal.any():
        kept = independent(svm)
        if not kept.all():
            near = None if start is None else Candidate(start.W, start.dual[kept])
            return spread(solve_spectral(svm.restrict(kept), norm, tol, progress=progress, start=near, xp=xp), kept)
    constraints = svm.constraints
    reduced = presolve(constraints)
    A = reduced.operator.on(xp)
    search = _Search(A, norm, tol / 4.0)
    warm = None
    if start is not None and start.W.shape == constraints.shape and start.dual.shape == A.h.shape:
        warm = _warm(A, norm, reduced.reduce(start.W), reduced.reduce_dual(start.dual))
    if warm is not None:
        search.best = warm
        if not search.settled and norm.patience(A) > 0:
            search.polish()
    if not search.settled:
        _run(search, warm, progress)
    return Candidate(
        _restored(constraints, reduced, search),
        reduced.restore_dual(search.best.dual),
        None if search.ray is None else reduced.restore_dual(search.ray),
        search.counts,
    )


def _run(search: "_Search", warm: Point | None, progress: Progress | None) -> None:
    """First-order steps, with attempts to finish on the way."""
    A = search.A
    polish, again = search.norm.polish, search.norm.again
    polish_below, polished, told, cancel = polish, 0, time.monotonic(), CANCEL
    patience, most = search.norm.patience(A), STEPS
    if patience == 0:
        search.interior()
        if search.settled:
            return
    for total, point, grown in iterate(A, search.norm, warm):
        search.best = search.best.or_better(point)
        search.counts["first_order"] = total
        if search.settled or total >= most:
            break
        gap = search.best.gap
        if gap < polish_below or (gap < polish and total >= again * polished):
            search.polish()
            polish_below, polished = search.best.gap / 5.0, total
        if total % 50 == 0 and gap > 0.5:
            search.look_for_ray(search.best.dual, grown)
        if total >= cancel and search.best.upper == np.inf and search.ray is None:
            search.cancel()
            cancel = 2 * total
        if total >= patience and not search.settled:
            if patience > 0:
                search.interior()
            patience, most = NEVER, total + FINAL_STEPS if search.nearly else STEPS
        if search.settled:
            break
        if progress is not None and time.monotonic() - told > 0.3:
            told = time.monotonic()
            progress(total, search.best.gap)
    if not search.settled:
        search.best = _tighten(A, search.norm, search.best)


@dataclass
class _Search:
    """The best point so far, and the finishers that may improve it."""

    A: Operator
    norm: SpectralNorm
    target: float
    best: Point = field(init=False)
    ray: Floats | None = None
    direct: int = field(default=DIRECT, init=False)
    counts: dict[str, int] = field(default_factory=lambda: {"first_order": 0})

    def __post_init__(self) -> None:
        self.best = Point(np.zeros(self.A.shape), np.zeros(len(self.A)), np.inf, 0.0)
        self.hopeless = HOPELESS * float(self.A.h.max())

    @property
    def settled(self) -> bool:
        return self.best.gap <= self.target or self.ray is not None

    @property
    def nearly(self) -> bool:
        """Whether it was rounding that stopped interior points, near the optimum or far out: little is left to gain."""
        out = self.best.upper == np.inf and self.best.lower > 1e-3 * self.hopeless
        return out or self.best.gap < NEARLY_SOLVED

    def polish(self) -> None:
        most, began = NEWTON_HELD if self.A.equal.any() else None, self.best.gap
        self.best, steps = face_newton(self.A, self.norm, self.best, self.target, most=most, direct=self.direct)
        self.counts["newton"] = self.counts.get("newton", 0) + steps
        if began < NEAR:  # what products did not bring from there, factors may
            self.direct = FACTORED

    def interior(self) -> None:
        self.best, steps = interior_point(self.A, self.norm, self.best, self.target, self.hopeless)
        self.counts["interior_point"] = steps
        if not self.settled:
            self.best = _straighten(self.A, self.norm, _tighten(self.A, self.norm, self.best))
        self.look_for_ray(self.best.dual)
        if not self.settled:
            self.polish()
        if not self.settled and self.norm.low_rank:
            self.best = _on_fixed_rank(self.A, self.norm, self.best)

    def cancel(self) -> None:
        """Look for a ray near the multipliers, which are one to a few digits long before they are to many."""
        near = cancelling(self.A, self.best.dual)
        if near is not None:
            self.look_for_ray(near)

    def look_for_ray(self, *directions: Floats) -> None:
        """Keep a direction in which the dual grows without bound, if one of these is."""
        for dual in directions:
            if lower_bound(self.A, dual, self.norm.dual_value(self.A.adjoint(dual))) > self.hopeless:
                self.ray = dual
                return


def _warm(A: Operator, norm: SpectralNorm, W: Floats, dual: Floats) -> Point | None:
    """The start in this problem's scale, or None when it does not separate the data."""
    B = A.adjoint(dual)
    dual_value = norm.dual_value(B)
    W, upper = feasible(A, norm, W, norm.value(W), A.margins(W))
    value, lower = norm.value(W), lower_bound(A, dual, dual_value)
    if not (upper < np.inf and lower > 0.0):
        return None
    return Point(W * (upper / value), dual / dual_value, upper, lower)


def _tighten(A: Operator, norm: SpectralNorm, point: Point) -> Point:
    """`point` with its binding margins made equal."""
    corrected = _correction(A, point.dual, A.margins(point.W) / A.unit)
    if corrected is None:
        return point
    length, change = corrected
    return _with(A, norm, length * point.W + change, point)


def _with(A: Operator, norm: SpectralNorm, W: Floats, point: Point) -> Point:
    """`point`, with `W` where that is better."""
    W, upper = feasible(A, norm, W, norm.value(W), A.margins(W))
    return point.or_better(Point(W, point.dual, upper, point.lower))


def _on_fixed_rank(A: Operator, norm: SpectralNorm, point: Point) -> Point:
    """`point` with its binding margins made equal along the matrices of the rank that it has nearly."""
    ratio = A.margins(point.W) / A.unit
    if not float((point.dual * A.h) @ ratio) > 0.0:
        return point
    W = on_fixed_rank(A, point.W, np.flatnonzero(_binding(A, point.dual, ratio)))
    return point if W is None else _with(A, norm, W, point)


def _straighten(A: Operator, norm: SpectralNorm, point: Point) -> Point:
    """`point` with multipliers that meet the equations of its face, which interior points meet up to rounding."""
    B = A.adjoint(point.dual)
    size, length = norm.dual_value(B), float(np.linalg.norm(point.W))
    if not (size > 0.0 and length > 0.0):
        return point
    dual, B = point.dual / size, B / size
    omega = norm.balance * float(np.linalg.norm(B)) / length
    U, s, Vt = np.linalg.svd(omega * point.W + B)
    J = np.flatnonzero(_binding(A, dual, A.margins(point.W) / A.unit))
    E, e = norm.face(s, omega, A.shape).equations(A.a[J] @ U, (A.queries @ Vt.T)[A.sample[J]])
    if E.size == 0 or E.size > DENSE:
        return point
    on_J = dual[J]
    dual = np.zeros_like(dual)
    dual[J] = np.maximum(on_J + np.linalg.lstsq(E.T, e - E.T @ on_J, rcond=1e-12)[0], A.floor[J])
    return point.or_better(Point(point.W, dual, point.upper, lower_bound(A, dual, norm.dual_value(A.adjoint(dual)))))


def _restored(constraints: Constraints, reduced: Presolved, search: "_Search") -> Floats:
    """The user's W of the best point, its rounding errors mended where they decide the least margin."""
    inside, unit = search.best.W, reduced.scale.unit
    W = reduced.restore(inside)
    upper, aim = np.inf, search.best.lower / (1.0 - search.target) / unit
    best = W
    for _ in range(3):
        margins = constraints.margins(W)
        least = float(margins[search.A.leads].min())
        now = search.norm.value(inside) / unit / least if least > 0 else np.inf
        if now >= upper:
            break
        upper, best = now, W
        corrected = None if now <= aim or now == np.inf else _correction(search.A, search.best.dual, margins)
        if corrected is None:
            break
        length, change = corrected
        W, inside = length * W + reduced.restore(change), length * inside + change
    return best


def _correction(A: Operator, dual: Floats, ratio: Floats) -> tuple[float, Floats] | None:
    """(length, change) such that length W + change has binding margins at their level, `ratio` their margins now.

    Both in units of the user's margins.

    A dense least-squares solution: where the data are nearly infeasible W is so long that its last digits
    decide the least margin, and the Gram matrix of the binding rows is singular in float64 while the rows are
    not. None when there is nothing to bind or the rows are too many.
    """
    lam = dual * A.h
    binding = float(lam @ ratio)
    if not binding > 0.0:
        return None
    length = float(lam.sum()) / binding
    J = np.flatnonzero(_binding(A, dual, ratio))
    d, d_z = A.shape
    if len(J) * d * d_z > DENSE:
        return None
    solution = np.linalg.lstsq(A.written_out(J), A.unit[J] * (A.level[J] - length * ratio[J]), rcond=None)[0]
    return length, np.asarray(solution, dtype=np.float64).reshape(d, d_z)


def _binding(A: Operator, dual: Floats, ratio: Floats) -> Bools:
    """(C,) which constraints carry dual rather than slack, `ratio` the user's margins of any multiple of W."""
    lam, lead = dual * A.unit, dual * A.h
    length = float(lead.sum()) / float(lead @ ratio)
    return np.asarray((lam > float(lam[A.leads].mean()) * (length * ratio - A.level)) | A.equal)

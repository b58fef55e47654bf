"""min sum_k phi(x_k) subject to A x = b, x >= 0, by Mehrotra's predictor-corrector method (docs/svm.md).

One loop for linear programs (l1, linf) and for sums of powers (l_p). Newton's equations reduce to
(A D A') dy = r with D = 1 / (phi'' + z / x); how that matrix is factored is the caller's affair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow.arrays import Floats


Inverse = Callable[[Floats], Floats]


class AbstractProgram(ABC):
    """The data of one program: a matrix by its actions, a right-hand side and a separable objective."""

    b: Floats

    @abstractmethod
    def product(self, x: Floats) -> Floats:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Floats) -> Floats:
        """A' y."""

    @abstractmethod
    def normal(self, D: Floats) -> Inverse:
        """A function that solves (A diag(D) A') y = r."""

    @abstractmethod
    def gradient(self, x: Floats) -> Floats:
        """phi'(x_k) of every variable."""

    @abstractmethod
    def curvature(self, x: Floats) -> Floats:
        """phi''(x_k) >= 0 of every variable."""


@dataclass(frozen=True, eq=False)
class Iterate:
    """A point strictly inside x > 0, z > 0, with multipliers y."""

    x: Floats
    y: Floats
    z: Floats
    complementarity: float


def follow(program: AbstractProgram, x: Floats, y: Floats, z: Floats, *, damped: bool = False) -> Iterator[Iterate]:
    """Yield the iterates that start from (x, y, z), x > 0, z > 0; they end when no step can be made.

    `damped` shortens steps until they reduce the residual: phi' far from linear needs it, others lose by it.
    """
    for _ in range(_STEPS):
        primal = program.b - program.product(x)
        dual = program.gradient(x) - program.adjoint(y) - z
        mu = float(x @ z) / len(x)
        D = 1.0 / (program.curvature(x) + z / x)
        try:
            inverse = program.normal(D)
        except np.linalg.LinAlgError:
            return
        dx, dy, dz = _newton(program, inverse, x, z, D, primal, dual, -x * z)
        reach_x, reach_z = min(1.0, _reach(x, dx)), min(1.0, _reach(z, dz))
        mean = float((x + reach_x * dx) @ (z + reach_z * dz)) / len(x)
        centre = (mean / mu) ** 3 * mu
        dx, dy, dz = _newton(program, inverse, x, z, D, primal, dual, centre - x * z - dx * dz)
        back = max(0.9, 1.0 - max(mu, 1e-12))
        step_x, step_z = min(1.0, back * _reach(x, dx)), min(1.0, back * _reach(z, dz))
        if not np.isfinite(dy).all() or max(step_x, step_z) < 1e-8:
            return
        if program.curvature(x).any():
            # A curved objective couples x and z: one common step keeps the dual residual falling.
            step_x = step_z = min(step_x, step_z)
            if damped:
                step_x = step_z = _damped(program, x, y, z, dx, dy, dz, centre, step_x)
        x, y, z = x + step_x * dx, y + step_z * dy, z + step_z * dz
        yield Iterate(x, y, z, float(x @ z) / len(x))


def _newton(
    program: AbstractProgram,
    inverse: Inverse,
    x: Floats,
    z: Floats,
    D: Floats,
    primal: Floats,
    dual: Floats,
    product: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Solve A dx = primal, phi'' dx - A' dy - dz = -dual, z dx + x dz = product."""
    target = product / x - dual
    right = primal - program.product(D * target)
    dy = inverse(right)
    left, before = right - program.product(D * program.adjoint(dy)), np.inf
    for _ in range(_REFINEMENTS):
        # The factorisation loses digits as D spreads over many orders of magnitude; the residual does not.
        size = float(np.abs(left).max())
        if not 1e-13 * float(np.abs(right).max()) < size < 0.5 * before:
            break
        before = size
        correction = inverse(left)
        dy = dy + correction
        left = left - program.product(D * program.adjoint(correction))
    dx = D * (program.adjoint(dy) + target)
    return dx, dy, (product - z * dx) / x


def _damped(
    program: AbstractProgram,
    x: Floats,
    y: Floats,
    z: Floats,
    dx: Floats,
    dy: Floats,
    dz: Floats,
    centre: float,
    step: float,
) -> float:
    """Halve `step` until the residual of the curved equations falls."""

    def residual(t: float) -> float:
        at, left = x + t * dx, z + t * dz
        primal = program.b - program.product(at)
        with np.errstate(over="ignore"):
            dual = program.gradient(at) - program.adjoint(y + t * dy) - left
        product = at * left - centre
        return float(np.abs(primal).max() + np.abs(dual).max() + np.abs(product).sum())

    now = residual(0.0)
    for _ in range(20):
        if residual(step) <= (1.0 - 0.01 * step) * now:
            return step
        step *= 0.5
    return step


def _reach(x: Floats, dx: Floats) -> float:
    """The largest step in (0, 1e3] that keeps x + step * dx >= 0."""
    falling = dx < 0.0
    return min(1e3, float((x[falling] / -dx[falling]).min(initial=1e3)))


def diagonal_plus_gram(M: Floats, e: Floats, f: Floats) -> Inverse:
    """A function that solves (diag(e) + M diag(f) M') y = r for f > 0, e > 0, through the smaller side of M.

    e may be 0 at independent rows.
    """
    rows, columns = M.shape
    if rows > columns and not e.all():
        return _bordered(M, e, f)
    if rows <= columns:
        half = M * np.sqrt(f)
        # A matrix times its own transpose: BLAS computes one triangle only.
        K = half @ half.T
        K[np.diag_indices(rows)] += e
        return cholesky(K)
    # Sherman-Morrison-Woodbury: the inverse is E - E M (diag(1/f) + M'E M)^-1 M'E with E = diag(1/e).
    scaled, half = M / e[:, None], M / np.sqrt(e)[:, None]
    small = half.T @ half
    small[np.diag_indices(columns)] += 1.0 / f
    inner = cholesky(small)

    def solve(r: Floats) -> Floats:
        return r / e - scaled @ inner(scaled.T @ r)

    return solve


def _bordered(M: Floats, e: Floats, f: Floats) -> Inverse:
    """The same where e = 0 at a few independent rows E: y_E from its Schur complement M_E P M_E', then the others.

    P = (diag(1/f) + M_I' diag(1/e_I) M_I)^-1 for the other rows I: again no matrix of all rows is formed.
    """
    E, rest = e == 0.0, e != 0.0
    others = diagonal_plus_gram(M[rest], e[rest], f)
    half = M[rest] / np.sqrt(e[rest])[:, None]
    small = half.T @ half
    small[np.diag_indices(len(f))] += 1.0 / f
    inner = cholesky(small)
    schur = cholesky(M[E] @ np.column_stack([inner(row) for row in M[E]]))

    def solve(r: Floats) -> Floats:
        y = np.empty(len(r))
        y[E] = schur(r[E] - M[E] @ inner(M[rest].T @ (r[rest] / e[rest])))
        y[rest] = others(r[rest] - M[rest] @ (f * (y[E] @ M[E])))
        return y

    return solve


def cholesky(K: Floats) -> Inverse:
    """Factor a positive definite matrix, scaled to unit diagonal and, if it must be, with a small ridge."""
    scale = 1.0 / np.sqrt(K.diagonal())
    if not np.isfinite(scale).all():
        raise np.linalg.LinAlgError("the diagonal is not positive")
    K = K * scale[:, None] * scale
    for ridge in (0.0, 1e-14, 1e-12, 1e-10):
        try:
            K[np.diag_indices(len(K))] = 1.0 + ridge
            factor = cho_factor(K, lower=True, check_finite=False)
            break
        except np.linalg.LinAlgError:
            continue
    else:
        raise np.linalg.LinAlgError("not positive definite")

    def solve(r: Floats) -> Floats:
        return np.asarray(scale * cho_solve(factor, scale * r, check_finite=False))

    return solve


_STEPS: Final = 100

_REFINEMENTS: Final = 5

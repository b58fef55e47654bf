"""The least Euclidean norm under R w >= h, one constraint at a time: slow, and right on every ugly case."""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_triangular

from marginflow.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class LeastNorm:
    """The minimiser, or the last iterate; its multipliers; a `ray` when the rows contradict each other."""

    w: Floats
    dual: Floats
    ray: Floats | None = field(default=None)
    steps: int = field(default=0)


def least_norm(R: Floats, h: Floats, *, equal: Bools | None = None, steps: int | None = None) -> LeastNorm:
    """Goldfarb and Idnani's dual active-set method for min |w|^2 / 2 subject to R w >= h.

    A violated constraint enters, constraints whose multiplier would turn negative leave. The active rows are
    orthogonalised anew at every step, so errors do not build up and dependent rows are seen as dependent
    (Goldfarb and Idnani, Mathematical Programming 27, 1983; the step lengths are theirs).

    Args:
        R: (C, D) rows of length about one.
        h: (C,) right-hand sides, positive or 0.
        equal: (C,) independent rows with R w = 0 instead; active from the start, with multipliers of any sign.
        steps: at most so many; by default enough for every row to enter and leave a few times.
    """
    count, _ = R.shape
    w, dual = np.zeros(R.shape[1]), np.zeros(count)
    free = np.zeros(count, dtype=bool) if equal is None else equal
    active: list[int] = np.flatnonzero(free).tolist()
    unit = np.where(h > 0.0, h, 1.0)
    total = 20 * count + 100 if steps is None else steps
    entering = -1
    for step in range(total):
        if entering < 0:
            # A margin is known to about |w| eps, whatever its own size.
            slack = (R @ w - h + 4e-16 * float(np.sqrt(w @ w))) / unit
            slack[active] = 0.0
            entering = int(slack.argmin())
            if slack[entering] >= -1e-14:
                return LeastNorm(*_solve_active(R, h, active, w, dual, free), steps=step)
        n = R[entering]
        Q, T = np.linalg.qr(R[active].T) if active else (np.zeros((len(w), 0)), np.zeros((0, 0)))
        first = Q.T @ n
        z = n - Q @ first
        second = Q.T @ z
        z -= Q @ second
        r = solve_triangular(T, first + second) if active else np.zeros(0)
        falling = (r > 1e-13 * max(1.0, float(np.abs(r).max(initial=0.0)))) & ~free[active]
        ratios = np.where(falling, dual[active] / np.where(falling, r, 1.0), np.inf)
        leaving = int(ratios.argmin()) if active else -1
        shortest = float(ratios[leaving]) if active else np.inf
        z2 = float(z @ z)
        # Orthogonalised twice, z is right to a few units of 1e-17: below that a row counts as dependent.
        independent = z2 > 5e-31
        full = (h[entering] - n @ w) / z2 if independent else np.inf
        t = min(shortest, max(full, 0.0))
        if t == np.inf:
            ray = np.zeros(count)
            ray[active] = np.where(free[active], -r, np.maximum(-r, 0.0))
            ray[entering] = 1.0
            return LeastNorm(w, dual, ray, step)
        if independent:
            w = w + t * z
        dual[active] -= t * r
        dual[entering] += t
        if t < full:
            dual[active[leaving]] = 0.0
            del active[leaving]
        else:
            active.append(entering)
            entering = -1
    return LeastNorm(w, dual, steps=total)


def _solve_active(
    R: Floats, h: Floats, active: list[int], w: Floats, dual: Floats, free: Bools
) -> tuple[Floats, Floats]:
    """The least w with R_J w = h_J and its multipliers, from one orthogonalisation of the active rows."""
    if not active:
        return w, dual
    Q, T = np.linalg.qr(R[active].T)
    y = solve_triangular(T, h[active], trans="T")
    exact = np.zeros_like(dual)
    exact[active] = solve_triangular(T, y)
    if exact[~free].min(initial=0.0) < -1e-9 * exact.max():
        return w, dual
    return Q @ y, np.where(free, exact, np.maximum(exact, 0.0))

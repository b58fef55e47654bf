"""log t of a flow from psi = -log(force) along it, however far apart the ends of a step (docs/flow.md)."""

from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Floats


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)

MOST_LEVELS: Final = 60


def log_step_time(h: Floats, psi: tuple[Floats, Floats, Floats], rate: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """log of the time that steps of length `h` (B,) take, the integral of exp(psi) over each; and its error.

    `psi` holds psi at the start, the middle and the end, `rate` d psi/d tau at both ends, each (B,). psi is the
    quartic through them; panels halve towards both ends, because exp(psi) lives within 1/(d psi/d tau) of the
    larger end. The error is what the middle corrects of the cubic through the ends, times its share of the time.
    """
    first, middle, last = psi
    rise = last - first
    drop = np.abs(rise) + h * (np.abs(rate[0]) + np.abs(rate[1]))
    levels = int(min(MOST_LEVELS, 2 + np.ceil(np.log2(max(1.0, float(drop.max()))))))
    log_weight, basis = _panels(levels)
    # Counted from the larger end: at psi = 1e12 one rounding of psi is 1e-4, and the ends are where it counts.
    up = rise > 0.0
    larger = np.where(up, last, first)
    curve = np.where(up[:, None], -rise[:, None] * basis[0], rise[:, None] * basis[1])
    curve += (h * rate[0])[:, None] * basis[2] + (h * rate[1])[:, None] * basis[3]
    bend = (middle - larger) + np.abs(rise) / 2.0 - h * (rate[0] - rate[1]) / 8.0
    curve += bend[:, None] * basis[4] + log_weight
    most = curve.max(axis=1)
    inside = most + np.log(np.exp(curve - most[:, None]).sum(axis=1))
    share = np.exp(np.minimum(0.0, (middle - larger) - inside))
    return np.asarray(larger + (inside + np.log(h))), np.asarray(np.abs(bend) * share)


@lru_cache(maxsize=MOST_LEVELS)
def _panels(levels: int) -> tuple[Floats, Floats]:
    """Log weights of Gauss nodes on panels that halve towards both ends, and the Hermite basis with a quartic bump."""
    left = np.concatenate([[0.0], 0.5 ** np.arange(levels, 0, -1)])
    low, high = left[:-1], left[1:]
    near = (low[:, None] + (high - low)[:, None] * (_NODES + 1.0) / 2.0).ravel()
    weight = ((high - low)[:, None] * _WEIGHTS / 2.0).ravel()
    # The right half is the mirror image; its distance to the end is kept exactly, not as 1 - x.
    x = np.concatenate([near, 1.0 - near])
    y = np.concatenate([1.0 - near, near])
    basis = np.stack([y * y * (1.0 + 2.0 * x), x * x * (1.0 + 2.0 * y), x * y * y, -x * x * y, 16.0 * x * x * y * y])
    return np.log(np.concatenate([weight, weight])), basis

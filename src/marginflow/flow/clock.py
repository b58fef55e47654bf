"""log t of a flow from psi = -log(force) along it, however far apart the ends of a step (docs/flow.md)."""

from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Floats


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)

MOST_LEVELS: Final = 60


def log_step_time(h: Floats, psi: tuple[Floats, Floats], rate: tuple[Floats, Floats]) -> Floats:
    """(B,) log of the time that steps of length `h` take: the integral of exp(psi) over each.

    `psi` and `rate` hold psi and d psi/d tau at both ends, each (B,). psi is the cubic through them; panels halve
    towards both ends, because exp(psi) lives within 1/(d psi/d tau) of the larger end.
    """
    drop = np.abs(psi[1] - psi[0]) + h * (np.abs(rate[0]) + np.abs(rate[1]))
    levels = int(min(MOST_LEVELS, 2 + np.ceil(np.log2(max(1.0, float(drop.max()))))))
    log_weight, basis = _panels(levels)
    # Counted from the larger end: at psi = 1e12 one rounding of psi is 1e-4, and the ends are where it counts.
    rise = psi[1] - psi[0]
    up = rise > 0.0
    cubic = np.where(up[:, None], -rise[:, None] * basis[0], rise[:, None] * basis[1])
    cubic += (h * rate[0])[:, None] * basis[2] + (h * rate[1])[:, None] * basis[3]
    cubic += log_weight
    most = cubic.max(axis=1)
    inside = most + np.log(np.exp(cubic - most[:, None]).sum(axis=1)) + np.log(h)
    return np.asarray(np.where(up, psi[1], psi[0]) + inside)


@lru_cache(maxsize=MOST_LEVELS)
def _panels(levels: int) -> tuple[Floats, Floats]:
    """Gauss nodes in [0, 1] on panels that halve towards both ends, their log weights and the Hermite basis."""
    left = np.concatenate([[0.0], 0.5 ** np.arange(levels, 0, -1)])
    low, high = left[:-1], left[1:]
    near = (low[:, None] + (high - low)[:, None] * (_NODES + 1.0) / 2.0).ravel()
    weight = ((high - low)[:, None] * _WEIGHTS / 2.0).ravel()
    # The right half is the mirror image; its distance to the end is kept exactly, not as 1 - x.
    x = np.concatenate([near, 1.0 - near])
    y = np.concatenate([1.0 - near, near])
    basis = np.stack([y * y * (1.0 + 2.0 * x), x * x * (1.0 + 2.0 * y), x * y * y, -x * x * y])
    return np.log(np.concatenate([weight, weight])), basis

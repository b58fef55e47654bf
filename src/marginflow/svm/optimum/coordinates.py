"""Which weights are zero, or not zero, at every optimum of a norm of single weights, by weak duality."""

import math
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.optimum.radius import distance
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import dual_matrix


def nonzero(optimum: Optimum) -> Floats:
    """(d,) what |beta_j| is not below at any optimum of a diagonal model; 0 where that is not shown.

    Every optimum has s beta_j >= sum lambda - U N_d(sum lambda r - s e_j) for any lambda >= 0, U the certified
    upper bound of the norm. With lambda = t dual + delta, sum delta r = s e_j on the active rows, tiny weights are
    bounded relative to their own size.
    """
    beta = optimum.weights
    away = distance(optimum)
    least = (
        np.maximum(np.abs(beta) * (1.0 - 4 * rounding.U) - away, 0.0) if math.isfinite(away) else np.zeros(len(beta))
    )
    asked = np.flatnonzero((least == 0.0) & (beta != 0.0))
    active = optimum.active
    if not len(asked) or len(active) * len(beta) > _ENTRIES:
        return np.asarray(least)
    units = np.zeros((len(beta), len(asked)))
    units[asked, np.arange(len(asked))] = np.sign(beta[asked])
    combined = np.linalg.lstsq(optimum.factors(active)[0].T, units, rcond=1e-12)[0] / optimum.lengths[active, None]
    equal = optimum.svm.constraints.equal
    held = (optimum.dual > 0.0) & ~equal
    for j, unit, own in zip(asked, units.T, combined.T, strict=True):
        delta = np.zeros(len(optimum.dual))
        delta[active] = own
        room = float(np.max(-delta[held] / optimum.dual[held], initial=0.0))
        for t in (room, 2.0 * room + abs(float(beta[j])) / optimum.certificate.upper):
            least[j] = max(least[j], _bound(optimum, _signed(t * optimum.dual + delta, equal), unit))
    return np.asarray(least)


def _signed(dual: Floats, equal: Bools) -> Floats:
    return np.where(equal, dual, np.maximum(dual, 0.0))


def vanishing(optimum: Optimum) -> Bools:
    """The weights that are zero at every optimum, as far as that is shown; for sums of their sizes (l1) only."""
    svm = optimum.svm
    out = np.zeros(svm.shape, dtype=bool)
    spread = optimum.dual_spread
    if spread is not None:
        out |= np.abs(optimum.B) + spread.matrix < 1.0 - _ROOM
    return out | ~seen(svm, np.ones(len(svm), dtype=bool))


def seen(svm: Svm, chosen: Bools) -> Bools:
    """The weights that the constraints `chosen` (C,) depend on."""
    if svm.diagonal:
        return np.asarray(svm.constraints.diagonal[chosen].any(axis=0))
    a, z = (x[chosen] != 0.0 for x in (svm.constraints.a, svm.constraints.queries))
    return np.asarray(a.T.astype(np.float64) @ z > 0.0)


def _bound(optimum: Optimum, dual: Floats, unit: Floats) -> float:
    M, error = dual_matrix(optimum.svm, dual)
    cost = rounding.up(optimum.certificate.upper * optimum.svm.norm.dual_upper(M - unit, error * 1.5), 4)
    gained = max(rounding.sum_down(dual[optimum.svm.leads]), 0.0)
    return gained - cost - rounding.U * 4.0 * max(gained, cost)


_ENTRIES: Final = 4_000_000

_ROOM: Final = 1e-12
"""More than the rounding of a dual coordinate of size one."""

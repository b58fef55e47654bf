"""Multipliers whose rows add up to nothing, next to those of a search that sees no weights that separate."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.scaling.conjugate_gradients import conjugate_gradients
from marginflow.svm.scaling.operator import Operator


def cancelling(A: Operator, dual: Floats) -> Floats | None:
    """(C,) multipliers near `dual` (C,) with A* of them 0 to some 13 digits, or None.

    Projections in turn: x - A (A* A)^-1 A* x of the multipliers that are not 0 cancels, and those that it makes
    negative are left out of the next. Where the rows contradict each other these become few; else it ends soon.
    """
    support = np.flatnonzero((dual > 0.0) | A.equal)
    rows, x, last = A, dual, len(support)
    for _ in range(_ROUNDS):
        if not len(support):
            return None
        if len(support) < len(x):
            rows, x = A.restrict(support), dual[support]
        left = rows.adjoint(x).ravel()
        size = float(np.linalg.norm(left))
        if size <= _CANCELLED * float(np.abs(x).sum()):
            return dual
        x = x - rows.margins(_solved(rows, left, _SHARE * size))
        positive = (x > 0.0) | rows.equal
        lost = len(x) - int(positive.sum())
        if lost > max(_FEWER * last, _FEW):
            return None
        dual = np.zeros_like(dual)
        dual[support[positive]] = x[positive]
        support, last = support[positive], lost
    return None


def _solved(rows: Operator, left: Floats, target: float) -> Floats:
    """(d, d_z) W with A* A W = `left`, roughly."""
    shape = rows.shape
    W, _ = conjugate_gradients(
        lambda w: rows.adjoint(rows.margins(w.reshape(shape))).ravel(), left, target, most=_PRODUCTS
    )
    return W.reshape(shape)


_CANCELLED: Final = 1e-13
"""Size of the sum, relative to that of the multipliers, below which nothing is left."""

_SHARE: Final = 0.1
"""Of the sum, left by each round: the next one finds other signs anyway."""

_PRODUCTS: Final = 100

_ROUNDS: Final = 20

_FEWER: Final = 0.6
"""Times the multipliers that turned negative in the round before: more are a sign that weights separate."""

_FEW: Final = 2

"""Weights on the span of the queries alone, where these are far fewer than the columns of W."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.program import Svm


def in_span_of_queries(svm: Svm) -> tuple[Svm, Floats] | None:
    """The problem of W' in W = W' Q', and Q (d_z, n) with orthonormal columns; None where that does not pay.

    With z_i = Q z'_i no margin sees more of W than W Q, and the rest only adds to the Frobenius norm: the optimum is
    W' Q'.
    """
    rows = svm.constraints
    n, d_z = rows.z.shape
    if svm.diagonal or d_z < _SPARED * n or rows.a.size <= _SMALL:
        return None
    Q, coordinates = np.linalg.qr(rows.z.T)
    inside = Constraints(rows.a, rows.sample, coordinates.T, rows.token, level=rows.level, equal=rows.equal)
    return Svm(inside, svm.norm), Q


_SPARED: Final = 2
"""So many times more columns than queries are worth a change of basis."""

_SMALL: Final = 1_000_000
"""Entries of all differences up to which it costs more than it saves."""

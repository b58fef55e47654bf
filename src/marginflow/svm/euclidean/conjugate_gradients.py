"""Systems with the Gram matrix of rows, without forming it."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.scaling.unit_rows import Rows


def conjugate_gradients(support: Rows, b: Floats, target: float) -> tuple[Floats, int]:
    """(y, steps): R R' y = b for `b` (J,) to a residual of length `target`, or as near as some steps bring it."""
    y = np.zeros_like(b)
    r, p = b.copy(), b.copy()
    rr = float(r @ r)
    for steps in range(_MOST):
        if rr <= target * target:
            return y, steps
        q = support.margins(support.adjoint(p))
        alpha = rr / float(p @ q)
        y += alpha * p
        r -= alpha * q
        new = float(r @ r)
        p = r + (new / rr) * p
        rr = new
    return y, _MOST


_MOST: Final = 2000

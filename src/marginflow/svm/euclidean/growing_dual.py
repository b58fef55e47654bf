"""Whether the dual grows without bound, found in a few hundred steps where projected gradients take thousands.

The first-order method of the matrix norms under the Frobenius norm: it converges linearly, or the dual runs off along a
ray at that rate (docs/svm-nuclear.md, sections 2 and 5).
"""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.scaling.cancelling import cancelling
from marginflow.svm.scaling.namespace import namespace_of
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.first_order import iterate, lower_bound
from marginflow.svm.spectral.solve_spectral import CANCEL, HOPELESS


class _Frobenius:
    def prox(self, Y: Floats, tau: float) -> tuple[Floats, float]:
        size = self.value(Y)
        left = max(size - tau, 0.0)
        return Y * (left / size if size > 0.0 else 0.0), left

    def value(self, W: Floats) -> float:
        return namespace_of(W).norm(W)

    dual_value = value


def growing_dual(A: Operator) -> Floats | None:
    """(C,) multipliers whose bound on |W|_F is more than float64 can tell from infeasible, or None.

    Gives up at the first W that separates, or after some steps.
    """
    norm, hopeless, cancel = _Frobenius(), HOPELESS * float(A.h.max()), CANCEL
    for total, point, grown in iterate(A, norm):
        if point.upper < np.inf or total >= _STEPS:
            return None
        if total % _LOOK:
            continue
        near = cancelling(A, point.dual) if total >= cancel else None
        cancel = 2 * total if total >= cancel else cancel
        for dual in (near, point.dual, grown):
            if dual is not None and lower_bound(A, dual, norm.dual_value(A.adjoint(dual))) > hopeless:
                return dual
    return None


_STEPS: Final = 2000

_LOOK: Final = 50
"""Steps between looks at the growth of the dual."""

"""Weights whose least margin is no worse than the others: what rounding took from single rows, given back.

With rows of very different length the margin of a long row carries an error far above the tolerance, although that
row hardly matters: its multiplier is small. Dividing all weights by such a margin costs the whole error; lifting that
margin alone costs the error times its share of the multipliers (docs/svm.md, Lifting margins).
"""

from typing import Final

import numpy as np
from scipy.linalg import lstsq

from marginflow.arrays import Floats
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import margins_down
from marginflow.svm.proof.equalities import at_zero


def lift_margins(svm: Svm, W: Floats, dual: Floats, *, exact: bool = False) -> Floats | None:
    """Scale W so that its certified margins average 1 (weights: dual), then raise those below 1 by the least change.

    Args:
        svm: C constraints, none of them zero, and the norm being minimised.
        W: weights of positive margins.
        dual: (C,) multipliers of the same problem, >= 0.
        exact: as for `certificate.certify`.

    Returns:
        Weights like `W`, or None where there is nothing to lift or the rows are too many.
    """
    sure = margins_down(svm, W, exact)
    leads = svm.leads
    mean = float(dual[leads] @ sure[leads]) / float(dual[leads].sum()) if dual[leads].any() else 0.0
    if not (0.0 < mean < np.inf):
        return None
    W, sure = W / mean, sure / mean
    lack = 1.0 - sure
    still = np.zeros(len(svm), dtype=bool) if svm.plain else at_zero(svm, sure, float(np.linalg.norm(W)), _STILL)
    lack[~leads] = np.where(still[~leads], 0.0, -np.inf)
    most = float(lack[leads].max())
    if not (0.0 < most < _FAR):
        return None
    # Rows a little above are held where they are, or lifting others would lower them.
    near = np.flatnonzero(lack > -10.0 * most)  # and equalities stay where they are
    rows = svm.rows.restrict(near)
    if len(near) * rows.dimension > _DENSE:
        return None
    R = rows.written_out()
    assert R is not None
    x = W.ravel()
    lift = np.maximum(lack[near], 0.0) / rows.scale.size / rows.scale.unit
    lift += (lift > 0.0) * (np.abs(R) @ np.abs(x)) * _SPARE
    change, *_ = lstsq(R, lift, check_finite=False, lapack_driver="gelsd")
    return np.asarray((x + change).reshape(W.shape))


_FAR: Final = 0.01
"""A lack beyond this is no matter of rounding."""

_SPARE: Final = 2e-15
"""Room for the rounding of the lifted weights themselves, relative to the terms of their margins."""

_STILL: Final = 1e-9
"""Margins of level 0 below this share of what they could be are held."""

_DENSE: Final = 1_000_000
"""Most entries of the rows written out."""

"""Newton's equations of a separable objective on equalities, without the matrix of all weights."""

import numpy as np
from scipy.linalg import solve_triangular

from marginflow.arrays import Floats


def saddle(curvature: Floats, E: Floats, pull: Floats, short: Floats) -> Floats | None:
    """(d + J,) x and y with curvature * x - E'y = pull and E x = short; None where rows of E (J, d) are dependent.

    `curvature` (d,) is above 0. With M = E' / sqrt(curvature) = Q R and u = sqrt(curvature) x the equations are
    u - M y = pull / sqrt(curvature) and M'u = short: two triangular systems in Q'u and y.
    """
    if not 0 < len(E) <= E.shape[1]:
        return None
    root = np.sqrt(curvature)
    Q, R = np.linalg.qr((E / root).T)
    diagonal = np.abs(np.diagonal(R))
    if not diagonal.min() > np.finfo(float).eps * E.shape[1] * diagonal.max():
        return None
    pull = pull / root
    inside = solve_triangular(R, short, trans=1, check_finite=False) - Q.T @ pull
    y = solve_triangular(R, inside, check_finite=False)
    return np.concatenate(((pull + Q @ inside) / root, y))

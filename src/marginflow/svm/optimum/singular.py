"""A lower bound of the least singular value of a matrix, its rounding included."""

import math

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats


def least_singular_down(E: Floats, terms: int = 64) -> float:
    """A number that the least singular value of E (rows >= columns) is not below; 0 where nothing is shown.

    From a computed E = U S V' + R: |E x| >= s_min |U'..||V..| - |R|, by how far U and V are from orthonormal. Entries
    of `E` are inner products of unit vectors with `terms` roundings.
    """
    rows, columns = E.shape
    if columns == 0 or rows < columns or not np.isfinite(E).all():
        return 0.0
    U, s, Vt = np.linalg.svd(E, full_matrices=False)
    residual = rounding.frobenius_up(E - (U * s) @ Vt)
    residual += rounding.gamma(columns + 8) * float(s.sum()) + rounding.gamma(terms) * math.sqrt(E.size)
    skew = [rounding.frobenius_up(M.T @ M - np.eye(columns)) + rounding.gamma(len(M) + 8) * columns for M in (U, Vt.T)]
    return max(0.0, float(s[-1]) * (1.0 - skew[0]) * (1.0 - skew[1]) - rounding.up(residual, 8))

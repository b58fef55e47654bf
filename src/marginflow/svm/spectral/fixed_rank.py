"""The last digits of weights of low rank: binding margins made equal along the matrices of one rank."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.svm.scaling.operator import Operator


CLEAR: Final = 1e3
"""How far the kept singular values must stand above the rest for the rank to be taken from them."""

NEWTON_STEPS: Final = 3
DENSE: Final = 1_000_000
"""Most entries of the least-squares problem."""


def on_fixed_rank(A: Operator, W: Floats, binding: Ints) -> Floats | None:
    """`W` cut to the rank that its spectrum shows, with margin h at every `binding` constraint.

    Newton steps along the tangent space {U M + N V'} at W = U s V'. The correction of least norm in all directions
    has parts outside U and V, whose singular values add to the nuclear norm at first order; along the tangent space
    the norm changes by the multipliers' sum of corrections alone, which is 0 at an optimum (derived in docs/svm.md,
    Fixed rank).

    Args:
        A: the constraints.
        W: (d, d_z) near an optimum.
        binding: indices of the constraints that carry dual.

    Returns:
        Such weights, or None where the spectrum shows no rank or the constraints are too many.
    """
    d, d_z = A.shape
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    falls = s[:-1] / np.maximum(s[1:], 1e-300)
    if not len(falls) or falls.max() < CLEAR or not s[0] > 0.0:
        return None
    r = int(falls.argmax()) + 1
    if len(binding) * r * (d + d_z) > DENSE:
        return None
    a, z = A.a[binding], A.queries[A.sample[binding]]
    W = (U[:, :r] * s[:r]) @ Vt[:r]
    for _ in range(NEWTON_STEPS):
        U, s, Vt = np.linalg.svd(W, full_matrices=False)
        U, V = U[:, :r], Vt[:r].T
        inside = a @ U
        left = inside[:, :, None] * z[:, None, :]
        right = (a - inside @ U.T)[:, :, None] * (z @ V)[:, None, :]
        rows = np.concatenate([left.reshape(len(a), -1), right.reshape(len(a), -1)], axis=1)
        lack = A.h[binding] - ((a @ W) * z).sum(axis=1)
        x = np.linalg.lstsq(rows, lack, rcond=1e-12)[0]
        W = W + U @ x[: r * d_z].reshape(r, d_z) + x[r * d_z :].reshape(d, r) @ V.T
    return W

"""The polar factor of a batch of small matrices, by matrix products where they converge and by the SVD elsewhere."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats


LEAST: Final = 2e-3
"""Singular values from LEAST to 1 times the Frobenius norm converge by products; smaller ones are left to the SVD."""

QUINTICS: Final = (
    (8.426787804919663, -24.936134047206366, 18.492492866165936),
    (4.111647645420067, -3.0591299692096436, 0.5749536138623537),
    (3.714569753559153, -2.7781250371270843, 0.5429391763613395),
    (2.781950452587514, -2.074927184003285, 0.463500769896044),
    (1.9931451037696033, -1.3758134577179826, 0.387787029977007),
    (1.8754826168577379, -1.2505341225018376, 0.3750516088411666),
    (1.875, -1.25, 0.375),
)
"""Each the odd quintic a s + b s^3 + c s^5 that is nearest to 1 on what the one before makes of [LEAST, 1]; the last is
its limit. All singular values from LEAST on end within 1e-15 of 1, the others grow at most 2,600-fold. Found by linear
programming over 8,000 points; `tests/optim/test_polar.py` checks what they do."""

CONVERGED: Final = 5e-13
"""Largest entry of X - X X'X that counts as none, so that what is returned is within 2e-12 of the polar factor."""

RANGE: Final = (1e-100, 1e100)
"""Frobenius norms whose squares are safe."""


def polar(x: Floats) -> Floats:
    """The polar factor U V' of each matrix (B, d, m), on its range: singular values at rounding's size count as 0."""
    wide = x.shape[1] < x.shape[2]
    y = x.transpose(0, 2, 1) if wide else x
    size = np.sqrt(np.square(y).sum(axis=(1, 2)))
    safe = (size > RANGE[0]) & (size < RANGE[1])
    y = y / np.where(safe, size, 1.0)[:, None, None]
    if not safe.all():
        y[~safe] = 0.0
    for a, b, c in QUINTICS:
        A = y.transpose(0, 2, 1) @ y
        B = A @ A
        B *= c
        A *= b
        B += A
        B.reshape(len(B), -1)[:, :: B.shape[1] + 1] += a
        y = y @ B
    rest = y @ (y.transpose(0, 2, 1) @ y)
    rest -= y
    left = ~(safe & (np.abs(rest).max(axis=(1, 2)) < CONVERGED))
    rest *= -0.5
    y += rest
    out = np.ascontiguousarray(y.transpose(0, 2, 1)) if wide else y
    if left.any():
        out[left] = polar_by_svd(x[left])
    return out


def polar_by_svd(x: Floats) -> Floats:
    """The same from singular vectors, for any matrices (B, d, m)."""
    U, s, V = np.linalg.svd(x, full_matrices=False)
    kept = s > s[..., :1] * (np.finfo(float).eps * max(x.shape[-2:]))
    return np.asarray((U * kept[..., None, :]) @ V)

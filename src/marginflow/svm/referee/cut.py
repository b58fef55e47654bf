"""The cut-dual norm of exact matrices: its dual over all signs, itself by a sum added up exactly."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np
from scipy.optimize import linprog

from marginflow.arrays import Floats
from marginflow.svm.referee.exact import Exact


LARGEST_SIDE: Final = 20
"""Of the shorter side of W, whose vectors of signs are all looked at."""

BITS: Final = 40
"""Entries are cut to integers of so many bits first: sums of 400 of them are exact in float64."""


def cut_up(M: Exact) -> Fraction:
    """max x'My over vectors of signs, exactly; M has at most 20 rows or columns."""
    exact = M.whole.T if M.whole.shape[0] < M.whole.shape[1] else M.whole
    bits = max((abs(int(v)).bit_length() for v in exact.ravel()), default=1)
    drop = max(bits - BITS, 0)
    rough = np.array([[int(v) >> drop for v in row] for row in exact.tolist()], dtype=np.float64)
    k = rough.shape[1]
    sizes = [np.abs(signs @ rough.T).sum(axis=1) for signs in _all_signs(k)]
    # A shift cuts off less than 1 of each entry: only patterns so near the largest can be the largest.
    top = max(float(part.max()) for part in sizes) - 2.0 * rough.size * bool(drop)
    most = 0
    for signs, part in zip(_all_signs(k), sizes, strict=True):
        near = signs[part >= top].astype(np.int64).astype(object)
        if len(near):
            most = max(most, int(np.abs(near @ exact.T).sum(axis=1).max()))
    return M.fraction(most)


def _all_signs(k: int) -> Iterator[Floats]:
    """Every vector of k signs with the last one +, some at a time."""
    for first in range(0, 1 << (k - 1), 1 << 14):
        numbers = np.arange(first, min(first + (1 << 14), 1 << (k - 1)))
        yield np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(k)) & 1), dtype=np.float64)


def cut_dual_up(W: Exact, M: Exact | None) -> Fraction:
    """A rational number that the cut-dual norm of W does not exceed.

    W = sum t_s x_s y_s' + rest for signs x_s, y_s has at most sum |t_s| + |rest|_1, whatever the terms are: they are a
    guess, by HiGHS among the pairs of largest x'My, and the rest is exact.
    """
    entries = W.absolute().total()
    if M is None:
        return entries
    near, power, _ = W.nearest()
    X, Y = _pairs(M.nearest()[0])
    columns = (X[:, :, None] * Y[:, None, :]).reshape(len(X), -1).T
    unit = np.eye(near.size)
    program = np.hstack([columns, -columns, unit, -unit])
    found = linprog(np.ones(program.shape[1]), A_eq=program, b_eq=near.ravel(), method="highs")
    if found.x is None:
        return entries
    weights = Exact.of(found.x[: len(X)] - found.x[len(X) : 2 * len(X)])
    signs = Exact.of(X) * Exact(weights.whole[:, None], weights.power)
    sums = signs.T @ Exact.of(Y)
    rest = W - Exact(sums.whole, sums.power + power)
    return min(entries, weights.absolute().total() * Fraction(2) ** power + rest.absolute().total())


def _pairs(M: Floats) -> tuple[Floats, Floats]:
    """(s, d) and (s, d_z) signs with x'My within 1e-7 of the largest, both signs where (My)_i vanishes."""
    turned = M.shape[0] < M.shape[1]
    A = M.T if turned else M
    patterns = [signs[np.argsort(-np.abs(signs @ A.T).sum(axis=1))[:KEPT]] for signs in _all_signs(A.shape[1])]
    Y = np.concatenate(patterns)
    size = np.abs(Y @ A.T).sum(axis=1)
    chosen: dict[tuple[bytes, bytes], tuple[Floats, Floats]] = {}
    for y in Y[size >= (1.0 - 1e-7) * size.max()][:KEPT]:
        pulled = A @ y
        free = np.flatnonzero(np.abs(pulled) <= 1e-7 * size.max())[:8]
        for bits in range(1 << len(free)):
            x = np.where(pulled >= 0.0, 1.0, -1.0)
            x[free] = [1.0 - 2.0 * (bits >> j & 1) for j in range(len(free))]
            chosen[x.tobytes(), y.tobytes()] = (x, y)
            if len(chosen) >= KEPT:
                break
    left, right = (np.array(side) for side in zip(*chosen.values(), strict=True))
    return (right, left) if turned else (left, right)


KEPT: Final = 2000
"""Pairs tried at most."""

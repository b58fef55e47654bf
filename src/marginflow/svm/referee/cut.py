"""The cut-dual norm of exact matrices: its dual over all signs, itself by a sum added up exactly."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.cut_norm import atoms_of, require_small, terms
from marginflow.svm.referee.exact import Exact


BITS: Final = 40
"""Entries are cut to integers of so many bits first: sums of 400 of them are exact in float64."""


def cut_up(M: Exact) -> Fraction:
    """max x'My over vectors of signs, exactly; M has at most 20 rows or columns."""
    require_small(M.whole.shape)
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
        yield 1.0 - 2.0 * ((numbers[:, None] >> np.arange(k)) & 1)


def cut_dual_up(W: Exact, M: Exact | None) -> Fraction:
    """A rational number that the cut-dual norm of W does not exceed.

    W = sum t_s x_s y_s' + rest for signs x_s, y_s has at most sum |t_s| + |rest|_1, whatever the terms are: they are a
    guess from the dual matrix M, and the rest is exact.
    """
    near, power, _ = W.nearest()
    t, X, Y = terms(near, None if M is None else atoms_of(M.nearest()[0], 1e-7))
    weights = Exact.of(t)
    signs = Exact.of(X) * Exact(weights.whole[:, None], weights.power)
    sums = signs.T @ Exact.of(Y)
    rest = W - Exact(sums.whole, sums.power + power)
    return weights.absolute().total() * Fraction(2) ** power + rest.absolute().total()

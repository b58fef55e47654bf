"""Blocks of constraints of one query: what makes Gram matrices of constraints ill conditioned, and a cure.

All constraints of a sample share its selected token, so that their inner products are about a half.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.svm.scaling.operator import Operator


def blocks(sample: Ints) -> tuple[Ints, Ints, Ints]:
    """Where runs of one sample begin, none longer than BLOCK, the run of every row and its place in it."""
    starts = np.flatnonzero(np.diff(sample, prepend=-1))
    within = (np.arange(len(sample)) - np.repeat(starts, np.diff(starts, append=len(sample)))) % BLOCK
    return np.flatnonzero(within == 0), np.cumsum(within == 0) - 1, within


def inverse_by_query(A: Operator) -> Callable[[Floats], Floats]:
    """The inverse of the Gram matrix A A* between constraints of one query alone, at most BLOCK of them."""
    starts, owner, within = blocks(A.sample)
    shape = len(starts), int(within.max()) + 1
    slot = owner * shape[1] + within
    padded = np.zeros((shape[0] * shape[1], A.shape[0]))
    padded[slot] = A.a
    a, z = padded.reshape(*shape, -1), A.queries[A.sample[starts]]
    gram = (a @ np.swapaxes(a, 1, 2)) * np.vecdot(z, z)[:, None, None]
    own = np.diagonal(gram, axis1=1, axis2=2)
    gram[:, np.arange(shape[1]), np.arange(shape[1])] += np.where(own <= 0.0, 1.0, RIDGE * own)
    inverse = np.linalg.inv(gram)

    def precondition(x: Floats) -> Floats:
        grid = np.zeros(shape[0] * shape[1])
        grid[slot] = x
        out: Floats = (inverse @ grid.reshape(*shape, 1)).ravel()
        return out[slot]

    return precondition


BLOCK: Final = 64
"""Constraints of one query in a block."""

RIDGE: Final = 1e-4
"""Relative: copies of a constraint make blocks singular."""

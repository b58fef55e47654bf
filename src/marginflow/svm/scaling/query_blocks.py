"""Constraints of one query in blocks: what makes Gram matrices of constraints ill conditioned, and the cure.

All constraints of a sample share its selected token, so that inner products between them are about a half.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints, places_in_runs
from marginflow.svm.scaling.conjugate_gradients import Product
from marginflow.svm.scaling.operator import Operator


@dataclass(frozen=True, eq=False)
class QueryBlocks:
    """Runs of constraints of one query, padded to B blocks of t. Arrays are of the namespace of `rows`.

    Attributes:
        rows: the constraints (C,).
        slot: (C,) int the position of each in the (B, t) grid.
        a: (B, t, d) their vectors, zero where the grid is empty.
        queries: (B, d_z) the query of each block.
    """

    rows: Operator
    slot: Ints
    a: Floats
    queries: Floats

    @staticmethod
    def of(rows: Operator) -> "QueryBlocks":
        """At most BLOCK constraints in a block, and at most UNEVEN times what a query has on average."""
        xp, sample = rows.xp, rows.sample
        within = places_in_runs(sample)
        most = min(BLOCK, -(-UNEVEN * len(sample) // int((within == 0).sum())))
        within %= most
        B, t = int((within == 0).sum()), int(within.max()) + 1
        slot = xp.put((np.cumsum(within == 0) - 1) * t + within)
        padded = xp.zeros((B * t, rows.shape[0]), rows.a)
        padded[slot] = rows.a
        queries = rows.queries[xp.put(sample[within == 0])]
        return QueryBlocks(rows, slot, padded.reshape(B, t, -1), queries)

    def inverse(self, H: Floats) -> Product:
        """x (C,) to the inverse of the positive blocks `H` (B, t, t) times x; `H` is overwritten."""
        B, t, _ = self.a.shape
        xp, slot = self.rows.xp, self.slot
        i = xp.put(np.arange(t))
        own = H[:, i, i]
        H[:, i, i] += xp.module.where(own <= 0.0, 1.0, RIDGE * own)
        inverse = xp.inverse(H)

        def precondition(x: Floats) -> Floats:
            grid = xp.zeros(B * t, x)
            grid[slot] = x
            out: Floats = (inverse @ grid.reshape(B, t, 1)).ravel()
            return out[slot]

        return precondition


def inverse_by_query(rows: Operator) -> Product:
    """The inverse of the blocks of the Gram matrix A A*."""
    blocks = QueryBlocks.of(rows)
    a, z = blocks.a, blocks.queries
    return blocks.inverse((a @ a.swapaxes(1, 2)) * (z * z).sum(1)[:, None, None])


BLOCK: Final = 64
"""Constraints of one query in a block."""

UNEVEN: Final = 4
"""The grid has at most UNEVEN + 2 places a constraint, also where one query has most of them."""

RIDGE: Final = 1e-4
"""Relative: copies of a constraint make blocks singular."""

"""Which rows of attention add up to which output of the model (docs/flow.md 1)."""

from functools import cached_property
from typing import Any, final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.problem.problem import Problem


@final
class Outputs:
    """`m` outputs made of `n` rows; the loss is a mean over outputs, and each is a sum over its rows.

    Attributes:
        of_row: (n,) int, the output that each row adds to.
        m: how many there are.
        alone: row i is output i, the only one of it.
    """

    def __init__(self, of_row: Any) -> None:
        self.of_row: Ints = np.asarray(of_row)
        self.m = int(self.of_row.max()) + 1
        self.alone = self.m == len(self.of_row) and bool((self.of_row == np.arange(self.m)).all())

    @classmethod
    def of(cls, problem: Problem) -> "Outputs | None":
        """Those of `problem`; None where every row has its own."""
        found = cls(problem.output)
        return None if found.alone else found

    @cached_property
    def rows(self) -> Ints:
        """(m, k) the rows of every output, filled up with `n`."""
        members = [np.flatnonzero(self.of_row == o) for o in range(self.m)]
        out = np.full((self.m, max(map(len, members))), len(self.of_row))
        for o, own in enumerate(members):
            out[o, : len(own)] = own
        return out

    def sum(self, v: Floats) -> Floats:
        """(..., m) the sums over the rows of `v` (..., n) of each output."""
        return v if self.alone else self._gather(v, 0.0).sum(axis=-1)

    def logsumexp(self, v: Floats) -> Floats:
        """(..., m) log of the sums of exp over the rows of `v` (..., n) of each output."""
        if self.alone:
            return v
        each = self._gather(v, -np.inf)
        most = each.max(axis=-1)
        return np.asarray(most + np.log(np.exp(each - most[..., None]).sum(axis=-1)))

    def spread(self, v: Floats) -> Floats:
        """(..., n) the value of its output for every row, of `v` (..., m)."""
        return v if self.alone else v[..., self.of_row]

    def _gather(self, v: Floats, fill: float) -> Floats:
        """(..., m, k) the values of the rows of every output."""
        padded = np.concatenate([v, np.full((*v.shape[:-1], 1), fill)], axis=-1)
        return padded[..., self.rows]

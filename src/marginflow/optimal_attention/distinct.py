"""Tokens of a row that are the same vector: no W tells them apart, so they have one share between them."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Row:
    """The distinct tokens of one row.

    Attributes:
        tokens: (t,) the first token of each kind.
        kind: (T,) which of them a token is; -1 where no token exists.
        copies: (t,) how many tokens are of that kind.
    """

    tokens: Ints
    kind: Ints
    copies: Ints

    def mean(self, each: Floats) -> Floats:
        """(t, ...) the means over the copies of `each` (T, ...): what equal shares of them contribute."""
        out = np.zeros((len(self.tokens), *each.shape[1:]))
        here = self.kind >= 0
        np.add.at(out, self.kind[here], each[here])
        return np.asarray(out / self.copies.reshape(-1, *([1] * (each.ndim - 1))))

    def spread(self, each: Floats) -> Floats:
        """(T,) numbers of the kinds (t,), one per token; 0 where none exists."""
        return np.where(self.kind >= 0, each[self.kind], 0.0)


def distinct_rows(problem: Problem, among: Bools | None = None) -> list[Row]:
    """The distinct tokens of every row, of those in `among` (n, T) where given, in the order of first appearance."""
    there = problem.mask if among is None else among
    return [_row(problem.X[i], np.flatnonzero(there[i])) for i in range(problem.n)]


def _row(x: Floats, there: Ints) -> Row:
    # Adding 0.0 makes -0.0 the same as 0.0.
    _, first, inverse, copies = np.unique(
        x[there] + 0.0, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    kind = np.full(len(x), -1)
    kind[there] = rank[np.ravel(inverse)]
    return Row(there[first[order]], kind, copies[order])

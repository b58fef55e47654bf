"""Long sums whose rounding does not grow with their length: short ones by BLAS, their results added in pairs.

A term of a sum of k terms passes through min(k, BLOCK) roundings in its block, in whatever order BLAS adds, and through
one more in each of the ceil(log2(k / BLOCK)) rounds of pairs: gamma(`roundings(k)`) in place of gamma(k) (Higham,
Accuracy and Stability of Numerical Algorithms, ch. 4; docs/svm.md, Rounding).
"""

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from marginflow.arrays import Floats, Ints, places_in_runs
from marginflow.threads import each


BLOCK: Final = 32
"""Terms left to BLAS."""

RUNS: Final = 256
"""Runs summed at a time, of up to BLOCK rows."""

ROWS: Final = 256
"""Rows of a matrix product made at a time."""


def roundings(terms: int) -> int:
    """How many roundings a product takes part in before it is in a sum of so many `terms`."""
    blocks = max(1, math.ceil(terms / BLOCK))
    return min(terms, BLOCK) + math.ceil(math.log2(blocks))


def products(a: Floats, b: Floats) -> Floats:
    """(C,) the inner products of the rows of `a` (C, k) and `b` (C, k), k >= 1."""
    return in_pairs(np.vecdot(a[:, j], b[:, j]) for j in _blocks(a.shape[1]))


def matrix_product(A: Floats, B: Floats) -> Floats:
    """(p, q) the product of `A` (p, k) and `B` (k, q), k >= 1."""
    parts = [A[start : start + ROWS] for start in range(0, max(1, len(A)), ROWS)]

    def product(rows: Floats) -> Floats:
        return in_pairs(rows[:, j] @ B[j] for j in _blocks(A.shape[1]))

    return np.concatenate(each(product, parts, A.size + B.size))


def runs(owner: Ints) -> Ints:
    """Where runs of one `owner` (C,) begin, none of them longer than BLOCK; those of one owner lie together."""
    return np.flatnonzero(places_in_runs(owner) % BLOCK == 0)


def run_sums(
    weights: Floats, starts: Ints, rows: Callable[[slice], Floats], *, numbers: int = 0
) -> tuple[Floats, Floats]:
    """(runs, k) the sums of `weights` (C,) times rows (C, k) over the runs that begin at `starts`, added in order.

    And those of the sizes of both. `rows` is asked for consecutive rows, some runs at a time; from several threads
    where it reads many `numbers` in all.
    """
    ends = np.append(starts, len(weights))

    def total(first: int) -> tuple[Floats, Floats]:
        places = ends[first : first + RUNS + 1]
        part = slice(int(places[0]), int(places[-1]))
        some, a = weights[part], rows(part)
        inside, shape = (np.arange(len(some)), places - part.start), (len(places) - 1, len(some))
        own = csr_array((some, *inside), shape=shape) @ a
        return own, csr_array((np.abs(some), *inside), shape=shape) @ np.abs(a)

    found = each(total, range(0, len(starts), RUNS), numbers)
    return np.concatenate([own for own, _ in found]), np.concatenate([size for _, size in found])


def in_pairs(parts: Iterable[Floats]) -> Floats:
    """The sum of one or more arrays of one shape; each takes part in ceil(log2 of their number) additions at most.

    Sums of 2^h arrays wait for another of their height, as the digits of a counter do, so that few are held at once.
    """
    waiting: list[tuple[int, Floats]] = []
    for part in parts:
        height = 0
        while waiting and waiting[-1][0] == height:
            part = waiting.pop()[1] + part
            height += 1
        waiting.append((height, part))
    _, total = waiting.pop()
    while waiting:
        total = waiting.pop()[1] + total
    return np.asarray(total)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]

"""Differences of tokens that are not in memory: made anew, block by block, whenever they are asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints, largest_in_rows
from marginflow.errors import InputError
from marginflow.problem.stored import IN_MEMORY, StoredTokens
from marginflow.rounding import difference_errors
from marginflow.threads import over_rows


@dataclass(frozen=True, eq=False)
class StoredDifferences:
    """x_selected - x_token of every constraint, from tokens that stay where they are.

    Attributes:
        tokens: the tokens.
        selected: (n,) the token selected in each sample.
    """

    tokens: StoredTokens
    selected: Ints

    def blocks(self, sample: Ints, token: Ints) -> Iterator[tuple[slice, Floats]]:
        """The differences of the constraints (sample, token) in order, `sample` nondecreasing; one pass."""
        for constraints, rows, X in self._parts(sample):
            own = X[np.arange(len(X)), self.selected[rows]]
            inside = sample[constraints] - rows.start
            a = X[inside, token[constraints]]
            np.subtract(own[inside], a, out=a)
            yield constraints, refuse_tiny(a)

    def margins(self, sample: Ints, token: Ints, seen: Floats) -> Iterator[tuple[slice, Floats]]:
        """The inner products of those differences with the vectors `seen` (n, d) of their samples; one pass."""
        for constraints, rows, X in self._parts(sample):
            logits = (X @ seen[rows, :, None])[:, :, 0]
            own = logits[np.arange(len(X)), self.selected[rows]]
            inside = sample[constraints] - rows.start
            yield constraints, own[inside] - logits[inside, token[constraints]]

    def _parts(self, sample: Ints) -> Iterator[tuple[slice, slice, Floats]]:
        """Blocks of consecutive constraints, the samples that these are of, and their tokens."""
        wanted = np.zeros(len(self.selected), dtype=bool)
        wanted[sample] = True
        for rows, X in self.tokens.blocks(wanted):
            first, last = (int(c) for c in np.searchsorted(sample, (rows.start, rows.stop)))
            yield slice(first, last), rows, X

    def take(self, sample: Ints, token: Ints) -> Floats:
        """(k, d) the differences of some constraints."""
        return refuse_tiny(self.tokens.take(sample, self.selected[sample]) - self.tokens.take(sample, token))

    def errors(self, sample: Ints, token: Ints) -> Floats:
        """(k, d) what the exact differences exceed the rounded ones by."""
        return difference_errors(self.tokens.take(sample, self.selected[sample]), self.tokens.take(sample, token))

    def all(self, sample: Ints, token: Ints) -> Floats:
        """(C, d) those of all constraints, in memory.

        Raises:
            InputError: they would take too much of it.
        """
        size = 8 * len(sample) * self.tokens.shape[2]
        if size > IN_MEMORY:
            raise InputError(
                f"constraints: got {size:,} bytes of differences of tokens that stay on disk, where all are needed in "
                f"memory; expected at most {IN_MEMORY:,}; solve(problem, norm) and `marginflow svm` read them in blocks"
            )
        return self.take(sample, token)


def refuse_tiny(a: Floats) -> Floats:
    """`a` itself.

    Raises:
        InputError: a row so small that products with it would underflow.
    """

    def tiny(part: slice) -> bool:
        largest = largest_in_rows(a[part])
        return bool(((largest > 0) & (largest < 1e-100)).any())

    if any(over_rows(tiny, a)):
        raise InputError("constraints: a row is below 1e-100 in size; rescale the tokens")
    return a

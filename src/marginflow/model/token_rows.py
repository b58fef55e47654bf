"""Tokens with their queries as rows of rank-one features, where neighbours share a query."""

from typing import Final, final

import numpy as np

from marginflow.arrays import Floats


BLOCK: Final = 64
"""Rows of a matrix over tokens that are made at a time."""


@final
class TokenRows:
    """Tokens `x` (A, d) with the queries `z` (A, d_z); neighbours with one query stand together.

    Attributes:
        x: (A, d) the tokens, or differences of tokens.
        z: (g, d_z) the queries, one for each stretch of tokens that share it.
        parts: those stretches.
        of: (A,) the stretch of each token.
    """

    def __init__(self, x: Floats, z: Floats) -> None:
        first = np.flatnonzero(np.append(True, (z[1:] != z[:-1]).any(axis=1)))[: len(z)]
        ends = np.append(first[1:], len(z))[: len(first)]
        self.x, self.z = x, z[first]
        self.parts = [slice(int(i), int(j)) for i, j in zip(first, ends, strict=True)]
        self.of = np.repeat(np.arange(len(first)), ends - first)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def blocks(self) -> list[slice]:
        """The tokens in blocks, one after the other."""
        return [slice(i, min(i + BLOCK, len(self))) for i in range(0, len(self), BLOCK)]

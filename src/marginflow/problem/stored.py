"""Tokens larger than memory: they stay on disk, or in a Dask array, and are read some samples at a time."""

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, as_floats
from marginflow.errors import InputError


BLOCK_BYTES: Final = 8 * 2**20
"""Of tokens in float64 that are in memory at once: few enough to stay in a processor's cache."""

IN_MEMORY: Final = 4 * 2**30
"""Bytes of float64 up to which what was left on disk is read into memory where something asks for all of it."""


@dataclass(eq=False)
class Reads:
    """How many samples were read by passes over the tokens."""

    samples: int = 0


@dataclass(frozen=True, eq=False)
class StoredTokens:
    """Tokens (n, T, d) of numbers that float64 holds, left where they are.

    Attributes:
        source: a NumPy array mapped from a file, or a Dask array.
        mask: (n, T) bool; tokens that do not exist are read as zeros.
        reads: what passes have read so far.
    """

    source: Any
    mask: Bools
    reads: Reads = field(default_factory=Reads)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, T, d)."""
        n, T, d = self.source.shape
        return n, T, d

    @property
    def path(self) -> Path | None:
        """The file that holds the tokens; None of a Dask array, and of mapped memory without a name."""
        name = getattr(self.source, "filename", None)
        return None if name is None else Path(name)

    @property
    def block(self) -> int:
        """Samples read at a time."""
        _, T, d = self.shape
        return max(1, BLOCK_BYTES // (8 * T * d))

    def __getitem__(self, i: int) -> Any:
        """The tokens (T, d) of sample i as they are stored."""
        return np.asarray(self.source[i])

    def blocks(self, wanted: Bools | None = None, *, check: bool = False) -> Iterator[tuple[slice, Floats]]:
        """Samples in order, as slices, with their tokens in float64.

        Args:
            wanted: (n,) samples of interest; blocks without any are not read.
            check: refuse what no problem may hold.

        Raises:
            InputError: numbers that are not finite, or that float64 does not hold; with their place.
        """
        for start in range(0, len(self.mask), self.block):
            rows = slice(start, min(start + self.block, len(self.mask)))
            if wanted is None or wanted[rows].any():
                raw, mask = np.asarray(self.source[rows]), self.mask[rows]
                if check:
                    self._check(np.where(mask[:, :, None], raw, raw.dtype.type(0)), start)
                X = raw.astype(np.float64)
                if not mask.all():
                    X[~mask] = 0.0
                _let_go(self.source)
                self.reads.samples += len(X)
                yield rows, X

    def take(self, sample: Ints, token: Ints) -> Floats:
        """(k, d) the tokens with these indices."""
        out = np.empty((len(sample), self.shape[2]))
        if isinstance(self.source, np.ndarray):
            for start in range(0, len(sample), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                out[part] = self.source[sample[part], token[part]]
                _let_go(self.source)
            return out
        wanted = np.zeros(len(self.mask), dtype=bool)
        wanted[sample] = True
        order = np.argsort(sample, kind="stable")
        sample, token = sample[order], token[order]
        for rows, X in self.blocks(wanted):
            first, last = np.searchsorted(sample, (rows.start, rows.stop))
            out[order[first:last]] = X[sample[first:last] - rows.start, token[first:last]]
        return out

    def read(self) -> Floats:
        """All of them as one float64 array, still on the file where it is one of float64 without padding.

        Raises:
            InputError: they would take too much memory.
        """
        n, T, d = self.shape
        if isinstance(self.source, np.ndarray) and self.source.dtype == np.float64 and self.mask.all():
            return self.source.view(np.ndarray)
        if 8 * n * T * d > IN_MEMORY:
            raise InputError(
                f"X: got {8 * n * T * d:,} bytes of tokens that stay on disk, where all are needed in memory; expected "
                f"at most {IN_MEMORY:,}; what reads them in blocks is solve(problem, norm) and `marginflow svm`"
            )
        out = np.empty(self.shape)
        for rows, X in self.blocks():
            out[rows] = X
        return out

    def digest(self) -> str:
        """SHA-256 of the tokens as float64, so that float32 and float64 files of the same numbers agree; one pass."""
        seal = hashlib.sha256()
        self.feed(seal)
        return seal.hexdigest()

    def feed(self, seal: "hashlib._Hash") -> None:
        """Their shape and numbers to a digest; one pass."""
        seal.update(f"X{self.shape}".encode())
        for _, X in self.blocks():
            X += 0.0  # -0.0 and 0.0 are the same number
            seal.update(X.astype("<f8", copy=False).tobytes())

    def _check(self, raw: Any, start: int) -> None:
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            i, t, j = (int(k) for k in np.argwhere(~np.isfinite(raw))[0])
            raise InputError(f"X: got {raw[i, t, j]} at index {(start + i, t, j)}; expected finite numbers")
        as_floats(f"X[{start}:{start + len(raw)}]", raw, 3)


def as_stored(X: Any) -> Any:
    """`X` where it is left where it is: mapped from a file or a Dask array, of three axes; else None.

    Raises:
        InputError: such an array of another type than real numbers.
    """
    mapped = isinstance(X, np.memmap) and _mapping(X) is not None
    if not mapped and not any(kind.__module__.startswith("dask.array") for kind in type(X).__mro__):
        return None
    if X.ndim != 3 or X.dtype.kind not in "fiu":
        raise InputError(
            f"X: got {X.dtype} of shape {X.shape}; expected real numbers on 3 axes: samples, tokens, features"
        )
    return X


def sample_blocks(X: Floats | StoredTokens, *, check: bool = False) -> Iterator[tuple[slice, Floats]]:
    """The samples in order with their tokens: at once where they are in memory, else in blocks."""
    if isinstance(X, StoredTokens):
        yield from X.blocks(check=check)
    else:
        yield slice(0, len(X)), X


def _mapping(array: Any) -> mmap.mmap | None:
    """The map of a file that `array` is a view of."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def _let_go(source: Any) -> None:
    """Give back the pages that were read: they would count as memory of this process as long as there is room.

    They are read again when asked for. Not where they may hold changes that are not in the file.
    """
    found = _mapping(source)
    if found is not None and getattr(source, "mode", "c") != "c" and hasattr(found, "madvise"):
        found.madvise(mmap.MADV_DONTNEED)


_AT_ONCE: Final = 1024
"""Tokens gathered between giving back pages: each brings its neighbours along."""

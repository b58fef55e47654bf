"""The gallery's data: problem files, and random problems told apart from the papers' only in their last bits."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.gallery.torch_normals import Singles, TorchNormals, unit
from marginflow.npz import read_npz
from marginflow.problem.files import read_problem
from marginflow.problem.problem import Problem


DATA: Final = Path(__file__).parent / "data"
"""Problem files and `last_bits.npz`, all written by tools/gallery_data.py; LICENSE.txt says what they are."""


def stored(name: str) -> Problem:
    """The problem file `name`.npz, its two tokens, queries and scores exactly those of the paper's program."""
    return read_problem(DATA / f"{name}.npz")


def random_heads(n: int, T: int, d: int, seed: int) -> Problem:
    """Unit tokens, queries and head and labels of either sign: the random data of TF-as-SVM and of superurop.

    Exactly the float32 numbers that their programs draw: `drawn` plus the bundled last bits.
    """
    bits = _last_bits()[f"{n}-{T}-{d}"][seed]
    at, arrays = 0, []
    for array in drawn(n, T, d, seed):
        shift = bits[at : at + array.size].reshape(array.shape).astype(np.int32)
        arrays.append((array.view(np.int32) + shift).view(np.float32))
        at += array.size
    v, labels, X, z = arrays
    y = np.where(labels > 0, 1.0, -1.0)
    return Problem.from_head(X, z, y, v, name=f"gallery:n={n},T={T},d={d},seed={seed}")


def drawn(n: int, T: int, d: int, seed: int) -> list[Singles]:
    """Head (d,), normal numbers whose signs are the labels (n,), tokens (n, T, d), queries (n, d), in this order."""
    normal = TorchNormals(seed)
    v, labels, X, z = normal(d), normal(n), normal(n, T, d), normal(n, d)
    return [unit(v), labels, unit(X), unit(z)]


@cache
def _last_bits() -> dict[str, Any]:
    """Of each size n-T-d (seeds, numbers) int8: units in the last place to add to what is `drawn`."""
    return read_npz(DATA / "last_bits.npz")

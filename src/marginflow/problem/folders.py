"""Tokens in .npy files, left on disk: of a folder that is a problem, and of a saved solution that names them."""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.errors import InputError
from marginflow.npz import require
from marginflow.problem.stored import IN_MEMORY, StoredTokens


TOKENS: Final = "X.npy"
"""The file that makes a folder a problem."""


def holds_problem(folder: Path) -> bool:
    """Whether `folder` is one with tokens in it."""
    return (folder / TOKENS).is_file()


def read_folder(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Every array NAME.npy in `folder`; X is mapped and stays on disk, nothing is unpickled.

    Raises:
        InputError: a file that is no array, or another than X.npy of more than 4 GiB.
    """
    return {file.stem: _array(file) for file in sorted(folder.glob("*.npy"))}


def mapped(file: Path) -> npt.NDArray[Any]:
    """The array in a .npy file, left on disk.

    Raises:
        InputError: missing, or no array of numbers.
    """
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{file}: cannot be mapped ({reason}); expected numbers as np.save writes them") from None


def tokens_of(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]]) -> StoredTokens:
    """The tokens that a solution in `path` names, seen to be the same; one pass over them.

    Raises:
        InputError: no such file, or one of other numbers.
    """
    require(path, arrays, "tokens_path", "tokens_digest", "mask")
    named = Path(str(arrays["tokens_path"]))
    places = (named, Path(path).parent / named.name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"{path}: its tokens are in {named}, which is not there, nor in {places[1]}; put them there")
    X, mask = mapped(found), arrays["mask"]
    if X.ndim != 3 or mask.dtype != bool or mask.shape != X.shape[:2] or X.dtype.kind not in "fiu":
        raise InputError(f"{path}: its mask does not fit the tokens of {found}; solve and save it again")
    tokens = StoredTokens(X, mask)
    if tokens.digest() != str(arrays["tokens_digest"]):
        raise InputError(f"{path}: {found} holds other tokens than those that were solved; solve and save it again")
    return tokens


def _array(file: Path) -> npt.NDArray[Any]:
    array = mapped(file)
    if file.name == TOKENS:
        return array
    if array.nbytes > IN_MEMORY:
        raise InputError(
            f"{file}: got {array.nbytes:,} bytes; expected at most {IN_MEMORY:,}: only X.npy stays on disk"
        )
    return np.array(array)

"""What tokens and samples are called: strings for people, which no computation reads."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Bools, frozen
from marginflow.errors import InputError


Strings = npt.NDArray[np.str_]

LONGEST: Final = 100
"""Characters of a name: arrays of strings are as wide as their longest."""


def as_token_names(value: Any, mask: Bools) -> Strings | None:
    """(n, T) strings, "" where no token exists, from an array or a list of one list per sample; None for None.

    A row may name all T places (those of missing tokens are dropped) or only the tokens that exist.

    Raises:
        InputError: not one string per token, or a string that cannot be kept.
    """
    if value is None:
        return None
    rows = _listed("token_names", value)
    if len(rows) != len(mask):
        raise InputError(f"token_names: got {len(rows)} rows for {len(mask)} samples; expected one row per sample")
    names = np.full(mask.shape, "", dtype=object)
    for i, (row, exists) in enumerate(zip(rows, mask, strict=True)):
        cells = _listed(f"token_names[{i}]", row)
        here = np.flatnonzero(exists)
        if len(cells) == len(exists):
            cells = [cells[place] for place in here]
        if len(cells) != len(here):
            raise InputError(
                f"token_names: got {len(cells)} names in sample {i}, which has {len(here)} tokens; "
                "expected one per token"
            )
        for place, cell in zip(here, cells, strict=True):
            names[i, place] = _name(cell, f"token_names: got {cell!r:.80} for token {place} of sample {i}")
    return frozen(names.astype(np.str_))


def as_sample_names(value: Any, n: int) -> Strings | None:
    """(n,) strings; None for None.

    Raises:
        InputError: not one string per sample, or a string that cannot be kept.
    """
    if value is None:
        return None
    cells = _listed("sample_names", value)
    if len(cells) != n:
        raise InputError(f"sample_names: got {len(cells)} names for {n} samples; expected one per sample")
    checked = [_name(cell, f"sample_names: got {cell!r:.80} for sample {i}") for i, cell in enumerate(cells)]
    return frozen(np.array(checked, dtype=np.str_))


def _listed(label: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray) and value.ndim >= 1:
        return list(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise InputError(f"{label}: got {value!r:.80}; expected a list of strings")


def _name(cell: Any, got: str) -> str:
    if not isinstance(cell, str):
        raise InputError(f"{got}; expected a string")
    if len(cell) > LONGEST:
        raise InputError(f"{got}, {len(cell)} characters long; expected at most {LONGEST}")
    # An array of strings drops closing NULs, and half a surrogate pair cannot be written to a page.
    if "\0" in cell or any("\ud800" <= character <= "\udfff" for character in cell):
        raise InputError(f"{got}; expected text without NUL and without lone surrogates")
    return str(cell)

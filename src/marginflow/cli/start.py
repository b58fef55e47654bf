"""The arrays of a start, from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.model.parameterization import AbstractParameterization


def read_start(file: Path, model: "AbstractParameterization") -> dict[str, Any]:
    """The arrays of an .npz; the parameterisation itself checks their shapes."""
    from marginflow.npz import read_npz

    arrays = read_npz(file)
    wanted = set(model.shapes(1, 1))
    if set(arrays) != wanted:
        raise InputError(f"{file}: got arrays {sorted(arrays)}; expected exactly {sorted(wanted)} for {model.word}")
    return arrays

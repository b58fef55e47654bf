"""The files of a run: the arrays that it starts from, and what is kept of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.model.parameterization import AbstractParameterization
    from marginflow.trajectory.trajectory import Trajectory


def read_start(file: Path, model: "AbstractParameterization") -> dict[str, Any]:
    """The arrays of an .npz; the parameterisation itself checks their shapes."""
    from marginflow.npz import read_npz

    arrays = read_npz(file)
    wanted = set(model.shapes(1, 1))
    if set(arrays) != wanted:
        raise InputError(f"{file}: got arrays {sorted(arrays)}; expected exactly {sorted(wanted)} for {model.word}")
    return arrays


def keep(path: "Trajectory", save: Path | None) -> None:
    """Save the run where that is asked for.

    Raises:
        KeyboardInterrupt: it was interrupted; the message says where it stands and which file holds it.
    """
    from marginflow.trajectory.ended import Ended

    if save is not None:
        path.save(save)
    if path.ended is Ended.interrupted:
        raise KeyboardInterrupt(f"the run stands at margin {path.margin[-1]:.3g}; {save} holds it as interrupted")

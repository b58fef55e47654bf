"""A user's problem as an .npz file: arrays X and z, and either scores or y and v; mask is optional."""

from pathlib import Path

import numpy as np

from marginflow.errors import InputError
from marginflow.npz import read_npz, write_npz
from marginflow.problem.problem import Problem


def read_problem(path: Path) -> Problem:
    """Read a problem; nothing in the file is executed or unpickled.

    The file holds X (n, T, d), z (n, d_z), and either scores (n, T) or y (n,) and v (d,); mask (n, T) marks
    the tokens that exist where sequences are ragged. Other arrays are refused, so that a misspelt name is
    noticed.

    Raises:
        InputError: the file is missing, damaged, not an .npz, or does not hold a problem.
    """
    data = read_npz(path)
    known = {"X", "z", "scores", "y", "v", "mask"}
    unknown = sorted(set(data) - known)
    if unknown:
        raise InputError(f"{path}: got arrays {unknown}; expected only {sorted(known)}; remove or rename them")
    missing = sorted({"X", "z"} - set(data))
    if missing:
        raise InputError(f"{path}: array {missing[0]} is missing; expected X, z and either scores or y and v")
    has_head = "y" in data and "v" in data
    if ("scores" in data) == has_head or ("y" in data) != ("v" in data):
        given = sorted(set(data) & {"scores", "y", "v"})
        raise InputError(f"{path}: got {given or 'no scores'}; expected either scores, or both y and v")
    mask = data.get("mask")
    if has_head:
        return Problem.from_head(data["X"], data["z"], data["y"], data["v"], mask=mask, name=str(path))
    return Problem(data["X"], data["z"], data["scores"], mask=mask, name=str(path))


def write_problem(path: Path, problem: Problem) -> None:
    """Write `problem` so that `read_problem` returns it exactly; the file appears whole or not at all."""
    arrays = {"X": problem.X, "z": problem.z}
    if not problem.mask.all():
        arrays["mask"] = np.asarray(problem.mask)
    if problem.y is not None and problem.v is not None:
        arrays |= {"y": problem.y, "v": problem.v}
    else:
        arrays["scores"] = problem.scores
    write_npz(path, **arrays)

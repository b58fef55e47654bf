"""A user's problem as an .npz file: arrays X and z, and either scores or y and v; mask and names are optional."""

from pathlib import Path
from typing import Any

import numpy as np

from marginflow.errors import InputError
from marginflow.npz import read_npz, write_npz
from marginflow.problem.names import Strings
from marginflow.problem.problem import Problem


def read_problem(path: Path) -> Problem:
    """Read a problem; nothing in the file is executed or unpickled.

    The file holds X (n, T, d), z (n, d_z), and either scores (n, T) or y (n,) and v (d,); mask (n, T) marks
    the tokens that exist where sequences are ragged; token_names (n, T) and sample_names (n,) are strings for people.
    Other arrays are refused, so that a misspelt name is noticed.

    Raises:
        InputError: the file is missing, damaged, not an .npz, or does not hold a problem.
    """
    data = read_npz(path)
    known = {"X", "z", "scores", "y", "v", "mask", "token_names", "sample_names"}
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
    options: dict[str, Any] = {key: data.get(key) for key in ("mask", "token_names", "sample_names")}
    if has_head:
        return Problem.from_head(data["X"], data["z"], data["y"], data["v"], name=str(path), **options)
    return Problem(data["X"], data["z"], data["scores"], name=str(path), **options)


def names_of(problem: Problem) -> dict[str, Strings]:
    """The names that a problem has, as arrays for a file."""
    both = {"token_names": problem.token_names, "sample_names": problem.sample_names}
    return {key: names for key, names in both.items() if names is not None}


def write_problem(path: Path, problem: Problem) -> None:
    """Write `problem` so that `read_problem` returns it exactly; the file appears whole or not at all."""
    arrays: dict[str, Any] = {"X": problem.X, "z": problem.z, **names_of(problem)}
    if not problem.mask.all():
        arrays["mask"] = np.asarray(problem.mask)
    if problem.y is not None and problem.v is not None:
        arrays |= {"y": problem.y, "v": problem.v}
    else:
        arrays["scores"] = problem.scores
    write_npz(path, **arrays)

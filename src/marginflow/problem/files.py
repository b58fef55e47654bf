"""A problem as an .npz file: the user's own, or the one inside a saved run or solution."""

import json
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.arrays import frozen
from marginflow.errors import InputError
from marginflow.npz import held, read_npz, require, write_npz
from marginflow.problem.folders import read_folder, tokens_of
from marginflow.problem.next_token import label_scores, next_token
from marginflow.problem.problem import Problem


NAMES: Final = ("token_names", "sample_names")
SHAPE: Final = ("output", "head", "values", "labels")
NEXT_TOKEN: Final = ("sequences", "embedding", "labels_token")
KNOWN: Final = ("X", "z", "scores", "y", "v", "mask", *NAMES, *SHAPE, *NEXT_TOKEN)
"""The arrays of a problem file."""


_PARTS: Final = {"score": "scores", "mask": "mask", "len": "mask", "pad": "mask", "names": "token_names"}
"""Parts of a name that say what it was meant for; lengths (n,) may stand in `mask`."""


def read_problem(path: Path) -> Problem:
    """Read a problem; nothing in the file is executed or unpickled.

    The file holds X (n, T, d), z (n, d_z), and one of: scores (n, T); y (n,) and v (d,); values (n, T, k) and labels;
    labels_token (n,), the place of the next token in each row. output (n,) and head (n,) stand where rows add up or use
    several heads; mask (n, T) or lengths (n,) marks the tokens that exist in ragged sequences; token_names (n, T)
    and sample_names (n,) are strings for people. Or it holds sequences (N, L) of token ids, padded with -1, and
    embedding (K, d). Other arrays are left alone with a warning, unless their name could be a misspelt one of these. Of
    a saved run or solution the problem inside is read. `path` may be a folder that holds each array as NAME.npy: then
    X.npy stays on disk (docs/scale.md).

    Raises:
        InputError: the file is missing, damaged, not an .npz, or does not hold a problem.
    """
    data = read_folder(path) if path.is_dir() else read_npz(path)
    if "dual" in data or any(name.startswith("snapshot_") for name in data):
        return _inside(path, data)
    if {"kind", "format"} <= set(data):
        raise InputError(f"{path}: holds {held(data)}, not a problem; expected X, z and either scores or y and v")
    _unknown(path, sorted(set(data) - set(KNOWN)))
    if "sequences" in data or "embedding" in data:
        return _from_sequences(path, data)
    missing = sorted({"X", "z"} - set(data))
    if missing:
        raise InputError(f"{path}: array {missing[0]} is missing; expected X, z and either scores or y and v")
    given = sorted(set(data) & {"scores", "y", "v", "values", "labels", "labels_token"})
    if given not in (["scores"], ["v", "y"], ["labels", "values"], ["labels_token"]):
        raise InputError(
            f"{path}: got {given or 'no scores'}; expected either scores, or both y and v, or both values and labels, "
            "or labels_token"
        )
    options: dict[str, Any] = {key: data.get(key) for key in ("mask", *NAMES)}
    if "y" in data:
        if "output" in data or "head" in data:
            raise InputError(f"{path}: got output or head beside y and v; expected scores (n, T) with them")
        return Problem.from_head(data["X"], data["z"], data["y"], data["v"], name=str(path), **options)
    options |= {key: data.get(key) for key in SHAPE}
    scores = data.get("scores")
    if "labels_token" in data:
        scores = label_scores(data["X"], data["labels_token"], data.get("mask"))
    return Problem(data["X"], data["z"], scores, name=str(path), **options)


def _from_sequences(path: Path, data: Mapping[str, Any]) -> Problem:
    """Next-token prediction from token ids."""
    others = sorted(set(data) & set(KNOWN) - {"sequences", "embedding"})
    if others or not {"sequences", "embedding"} <= set(data):
        raise InputError(
            f"{path}: got {sorted(set(data) & set(KNOWN))}; expected sequences and embedding, and no others"
        )
    return next_token(data["sequences"], data["embedding"], name=str(path))


def _inside(path: Path, data: Mapping[str, Any]) -> Problem:
    """The problem that a saved run or solution holds, under the name that made it."""
    if "tokens_path" in data:
        data = {**data, "X": tokens_of(path, dict(data)).source}
    if "dual" in data and "X" not in data:
        raise InputError(f"{path}: a solution of bare constraints, which holds no problem; expected one of a problem")
    require(path, data, "X", "z", "scores", "mask")
    return stored_problem(data, _name_inside(data) or str(path))


def stored_problem(data: Mapping[str, Any], name: str) -> Problem:
    """The problem among the arrays of a run or solution; with its head, whose scores are those stored.

    Raises:
        InputError: arrays that are no problem.
    """
    options: dict[str, Any] = {key: data.get(key) for key in (*NAMES, "values", "labels")}
    options |= {key: data.get(f"row_{key}") for key in ("output", "head")}
    scores = None if "values" in data else data["scores"]
    problem = Problem(data["X"], data["z"], scores, mask=data["mask"], name=name, **options)
    if "problem_y" in data and "problem_v" in data:
        object.__setattr__(problem, "y", frozen(data["problem_y"]))
        object.__setattr__(problem, "v", frozen(data["problem_v"]))
    return problem


def _name_inside(data: Mapping[str, Any]) -> str:
    if "name" in data:
        return str(data["name"])
    try:
        return str(json.loads(str(data["flow"]))["name"])
    except (KeyError, ValueError, TypeError):
        return ""


def _unknown(path: Path, names: list[str]) -> None:
    """Refuse arrays that may be misspelt ones; say which others are not read."""
    for name in names:
        plain = name.lower().replace("-", "_")
        near = get_close_matches(plain, [known.lower() for known in KNOWN], 1, 0.75)
        part = [known for word, known in _PARTS.items() if word in plain]
        if near or part:
            meant = next((known for known in KNOWN if known.lower() in near), None) or part[0]
            raise InputError(f"{path}: got array {name}; did you mean {meant}? Rename or remove it")
    if names:
        warnings.warn(f"{path}: arrays {', '.join(names)} are not read; known are {', '.join(KNOWN)}", stacklevel=3)


def optional_arrays(problem: Problem) -> dict[str, Any]:
    """Names, outputs, heads, values and labels, where a problem has them, as arrays for a file."""
    found = {key: getattr(problem, key) for key in (*NAMES, "values", "labels")}
    found |= {"head": problem.head if problem.counts[1] > 1 else None}
    found |= {"output": None if np.array_equal(problem.output, np.arange(problem.n)) else problem.output}
    return {key: array for key, array in found.items() if array is not None}


def inside_arrays(problem: Problem) -> dict[str, Any]:
    """The same for a run or a solution, where `head` is that of a constraint: row_output and row_head."""
    own = optional_arrays(problem)
    return {f"row_{key}" if key in ("output", "head") else key: array for key, array in own.items()}


def write_problem(path: Path, problem: Problem) -> None:
    """Write `problem` so that `read_problem` returns it exactly; the file appears whole or not at all."""
    arrays: dict[str, Any] = {"X": problem.X, "z": problem.z, **optional_arrays(problem)}
    if not problem.mask.all():
        arrays["mask"] = np.asarray(problem.mask)
    if problem.y is not None and problem.v is not None:
        arrays |= {"y": problem.y, "v": problem.v}
    elif problem.values is None:
        arrays["scores"] = problem.scores
    write_npz(path, **arrays)

"""Saved solutions whose tokens stay on disk: the file says where they are and what they are, and holds no copy.

It holds W, the multipliers that are not zero with their (sample, token), the queries, scores, mask and selection. Of
the tokens it holds the path of their .npy file and the SHA-256 of their numbers; they are looked for at that path,
then beside the solution.
"""

import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.npz import require
from marginflow.problem.constraints import Constraints
from marginflow.problem.files import stored_problem
from marginflow.problem.folders import mapped, tokens_of
from marginflow.problem.stored import StoredTokens
from marginflow.svm.solution import Solution


APART: Final = 4
"""Version of these files, which readers of the others would take for solutions of bare constraints."""


def arrays_apart(solution: Solution) -> dict[str, Any]:
    """What is saved in place of constraints and tokens.

    Raises:
        InputError: tokens that are not those of a .npy file as a whole, which nothing could find again.
    """
    if solution.problem is None or solution.problem.stored is None:
        raise InputError("save: got bare constraints of tokens that stay on disk; expected a solution of their Problem")
    tokens, rows = solution.problem.stored, solution.constraints
    path = tokens.path
    if path is None or path.suffix != ".npy":
        raise InputError(
            f"save: got tokens of {'no file' if path is None else path}; expected those of a .npy file, which the "
            'saved solution names; write them with np.save("X.npy", X) and map that: np.load("X.npy", mmap_mode="r")'
        )
    digest = tokens.digest()
    if StoredTokens(mapped(path), tokens.mask).digest() != digest:
        raise InputError(f"save: got tokens that are not all that {path} holds; expected a problem over the whole file")
    support = np.flatnonzero(solution.dual)
    return {
        "format": APART,
        "dual": solution.dual[support],
        "sample": rows.sample[support],
        "token": rows.token[support],
        "tokens_path": str(path.resolve()),
        "tokens_digest": digest,
    }


def source_apart(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The fields of `Solution` that say where its constraints come from."""
    require(path, arrays, "scores", "mask", "selection", "against")
    tokens = tokens_of(path, arrays)
    problem = stored_problem({**arrays, "X": tokens.source}, str(arrays.get("name", "")))
    against: Any = str(arrays["against"])
    return {"problem": problem, "selection": problem.selection(arrays["selection"]), "against": against}


def dual_apart(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]], rows: Constraints) -> Floats:
    """(C,) the multipliers of all constraints from those that were saved.

    Raises:
        InputError: a multiplier of what is no constraint of the problem.
    """
    sample, token, dual = arrays["sample"], arrays["token"], arrays["dual"]
    fits = dual.shape == sample.shape == token.shape and dual.ndim == 1 and sample.dtype.kind == token.dtype.kind == "i"
    if not fits or dual.dtype != np.float64 or not np.isfinite(dual).all() or dual.min(initial=0.0) < 0.0:
        raise InputError(f"{path}: sample, token and dual are no multipliers; save the solution again")
    T = 1 + max(int(rows.token.max(initial=0)), int(token.max(initial=0)))
    every, own = rows.sample * T + rows.token, sample * T + token
    place = np.minimum(np.searchsorted(every, own), max(len(every) - 1, 0))
    if len(own) and (not len(every) or (every[place] != own).any() or len(np.unique(own)) != len(own)):
        raise InputError(f"{path}: a multiplier is of what is no constraint of its tokens; solve and save it again")
    out = np.zeros(len(rows))
    out[place] = dual
    return out

"""Saved solutions: written whole, read without trust."""

import math
import os
import re
from dataclasses import replace
from typing import Any, Final

import numpy as np

from marginflow.arrays import frozen
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.npz import read_npz, require, write_npz
from marginflow.optimal_attention.find import faces
from marginflow.problem.constraints import Constraints
from marginflow.problem.files import inside_arrays, stored_problem
from marginflow.svm.heads import Asked, stated
from marginflow.svm.proof.certificate import Certificate
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution
from marginflow.svm.stored_files import APART, arrays_apart, dual_apart, source_apart


FORMAT: Final = 2
"""Version of the saved files of one head and margins of at least 1; raised when their meaning changes."""

KINDS: Final = 3
"""Version of those with heads, levels or equalities, which readers of the other would take for plain rows."""


_SAVED: Final = "format norm W dual sample token a z value lower upper gap status reason tol stages steps".split()


def save_solution(solution: Solution, path: str | os.PathLike[str]) -> None:
    """Write an .npz file that `marginflow svm --verify` can recheck; of tokens on disk it says where they are.

    Raises:
        InputError: the file cannot be written, or tokens that are not in memory are not those of a .npy file.
    """
    arrays: dict[str, Any] = {
        "format": FORMAT if solution.constraints.plain else KINDS,
        "norm": solution.norm.name,
        "W": solution.W,
        "dual": solution.dual,
        "sample": solution.constraints.sample,
        "token": solution.constraints.token,
        "z": solution.constraints.z,
        "value": solution.value,
        "lower": solution.certificate.lower,
        "upper": solution.certificate.upper,
        "gap": solution.certificate.gap,
        "status": solution.status.name,
        "reason": solution.reason,
        "tol": solution.tol,
        "stages": np.array(list(solution.iterations), dtype=str),
        "steps": np.array(list(solution.iterations.values()), dtype=np.int64),
    }
    if solution.constraints.stored is not None:
        arrays |= arrays_apart(solution)
    else:
        arrays["a"] = solution.constraints.a
    if arrays["format"] == KINDS:
        arrays |= {name: getattr(solution.constraints, name) for name in ("level", "equal", "head", "heads")}
    if solution.problem is not None:
        apart = solution.constraints.stored is not None
        arrays |= {
            **({} if apart else {"X": solution.problem.X}),
            "scores": np.nan_to_num(solution.problem.scores),  # nan where tokens have values, which say more
            "mask": solution.problem.mask,
            "selection": solution.selection,
            "against": solution.against,
            "name": solution.problem.name,
            **inside_arrays(solution.problem),
        }
    if solution.faces is not None:
        arrays |= {"loss": solution.faces.loss}
        arrays |= {} if solution.constraints.plain else {"members": solution.faces.members}
    from marginflow.svm.referee.verify import digest

    write_npz(path, **arrays, digest=digest(arrays))


def load_solution(path: str | os.PathLike[str]) -> Solution:
    """Read what `save` wrote. Of its claims nothing is believed: all are computed anew and compared.

    Raises:
        InputError: not such a file, one whose arrays do not fit each other or the problem in it, or one that claims
            what its arrays do not prove.
    """
    arrays = read_npz(path)
    apart = "tokens_path" in arrays
    require(path, arrays, *(name for name in _SAVED if name != "a" or not apart))
    if str(arrays["status"]) not in SvmStatus.__members__:
        words = ", ".join(SvmStatus.__members__)
        raise InputError(f"{path}: got status {str(arrays['status'])!r}; expected one of {words}")
    version = int(_scalar(path, arrays, "format"))
    if version not in (1, FORMAT, KINDS, APART) or apart != (version == APART):
        raise InputError(
            f"{path}: got format {version}; expected {FORMAT}, {KINDS} or {APART}; solve and save it again"
        )
    constraints, norm, source = _problem(path, arrays, version)
    W, dual, tol = arrays["W"], arrays["dual"], _scalar(path, arrays, "tol")
    asked = Asked(constraints, norm, tol, source)
    found = stated(asked, frozen(W), frozen(dual), _iterations(path, arrays))
    if version != 1:
        _check_claims(path, arrays, found)
    return replace(found, reason=_reason(path, arrays, found))


def _problem(path: Any, arrays: dict[str, Any], version: int) -> tuple[Constraints, AbstractNorm, dict[str, Any]]:
    """What was solved and where it came from, after the arrays were seen to fit it."""
    norm = parse_norm(str(arrays["norm"]))
    W, dual, tol = arrays["W"], arrays["dual"], _scalar(path, arrays, "tol")
    for name in ("W", "dual", "z") if version == APART else ("W", "dual", "a", "z"):
        if arrays[name].dtype != np.float64 or not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name} does not hold finite float64 numbers; save the solution again")
    apart = source_apart(path, arrays) if version == APART else None
    if apart is not None:
        constraints = apart["problem"].constraints(apart["selection"], against=apart["against"])
        arrays["dual"] = dual = dual_apart(path, arrays, constraints)
    else:
        constraints = Constraints(
            arrays["a"], arrays["sample"], arrays["z"], arrays["token"], **_kinds(path, arrays, version)
        )
    shape = constraints.shape if constraints.heads == 1 else (constraints.heads, *constraints.shape)
    if W.shape != shape or dual.shape != (len(constraints),):
        raise InputError(f"{path}: got W {W.shape} and dual {dual.shape}; expected {shape} and ({len(constraints)},)")
    if not 0.0 < tol < 1.0:
        raise InputError(f"{path}: got tol {tol:g}; expected a relative gap between 0 and 1")
    source = _source(path, arrays, constraints) if apart is None else apart
    off = norm.diagonal and bool((W * (1.0 - np.eye(*constraints.shape))).any())
    if off or dual[~constraints.equal].min(initial=0.0) < 0.0:
        raise InputError(f"{path}: a multiplier is negative, or W is not diagonal under {norm.name}; no solution is so")
    for h, weights in enumerate(W.reshape(-1, *constraints.shape)):
        if weights.any() and not constraints.level[constraints.head == h].any():
            raise InputError(f"{path}: nothing keeps the W of head {h} from 0, which it is not; no solution is so")
    return constraints, norm, source


def _kinds(path: Any, arrays: dict[str, Any], version: int) -> dict[str, Any]:
    """Levels, equalities and heads of the rows; none in the files of one head and margins of at least 1."""
    if version != KINDS:
        return {}
    require(path, arrays, "level", "equal", "head", "heads")
    return {name: arrays[name] for name in ("level", "equal", "head")} | {"heads": int(_scalar(path, arrays, "heads"))}


def _source(path: Any, arrays: dict[str, Any], constraints: Constraints) -> dict[str, Any]:
    """The problem in the file, whose constraints must be the saved ones; nothing where only constraints were solved."""
    if "X" not in arrays:
        return {}
    require(path, arrays, "scores", "mask", "selection", "against")
    problem = stored_problem(arrays, str(arrays.get("name", "")))
    against: Any = str(arrays["against"])
    found = faces(problem, str(arrays["loss"])) if "loss" in arrays else None
    selection = arrays["selection"] if found is None else found.reference
    if not np.array_equal(selection, arrays["selection"]):
        raise InputError(f"{path}: its selection is not that of the loss {arrays['loss']}; solve and save it again")
    if found is not None and not np.array_equal(arrays.get("members", found.members), found.members):
        raise InputError(f"{path}: its members are not those of the loss {arrays['loss']}; solve and save it again")
    rebuilt = problem.constraints(selection if found is None else found, against=against)
    for name in ("a", "sample", "token", "z", "level", "equal", "head"):
        if not np.array_equal(getattr(rebuilt, name), getattr(constraints, name)):
            raise InputError(
                f"{path}: {name} is not what its tokens, queries, scores and selection give; solve and save it again"
            )
    selected = frozen(problem.selection(arrays["selection"]))
    return {"problem": problem, "selection": selected, "against": against, "faces": found}


def _check_claims(path: Any, arrays: dict[str, Any], found: Solution) -> None:
    """Compare every number and word of the file with what its arrays prove.

    Raises:
        InputError: one of them is another, beyond the last digits that another machine may compute.
    """
    certificate, value = found.certificate, found.value
    status, reason = str(arrays["status"]), str(arrays["reason"])
    if status != found.status.name:
        raise InputError(f"{path}: it says {status}, its arrays prove {found.status.name}; solve and save it again")
    if not _same_sentence(reason, found.reason):
        raise InputError(f"{path}: it gives the reason {reason!r}, its arrays give {found.reason!r}")
    claims = {name: _scalar(path, arrays, name) for name in ("value", "lower", "upper", "gap")}
    proved = {"value": value, "lower": certificate.lower, "upper": certificate.upper}
    for name, number in proved.items():
        same = claims[name] == number or abs(claims[name] - number) <= _LAST_DIGITS * abs(number)
        if not same and not (math.isnan(claims[name]) and math.isnan(number)):
            raise InputError(f"{path}: it says {name} {claims[name]:.15g}, its arrays prove {number:.15g}")
    if claims["gap"] != Certificate(claims["lower"], claims["upper"]).gap:
        raise InputError(f"{path}: it says gap {claims['gap']:.3g}, which is not that of its bounds")
    if not claims["lower"] <= claims["value"] <= claims["upper"] and not math.isnan(value):
        raise InputError(f"{path}: it says value {claims['value']:.15g}, which is outside its bounds")


def _reason(path: Any, arrays: dict[str, Any], found: Solution) -> str:
    """Why the status is what it is; also that the file said otherwise, which only those of version 1 may."""
    claimed = str(arrays["status"])
    if claimed in (found.status.name, SvmStatus.inaccurate.name):
        return found.reason
    return f"{path} says {claimed}, which its arrays do not support; {found.reason}"


def _same_sentence(claimed: str, found: str) -> bool:
    """Whether the words are the same and the numbers in them to two digits."""
    if re.sub(_NUMBER, "#", claimed) != re.sub(_NUMBER, "#", found):
        return False
    pairs = zip(re.findall(_NUMBER, claimed), re.findall(_NUMBER, found), strict=True)
    return all(abs(float(x) - float(y)) <= 0.02 * abs(float(y)) for x, y in pairs)


def _iterations(path: Any, arrays: dict[str, Any]) -> dict[str, int]:
    stages, steps = arrays["stages"], arrays["steps"]
    if stages.dtype.kind != "U" or steps.dtype.kind != "i" or stages.shape != steps.shape or steps.min(initial=0) < 0:
        raise InputError(f"{path}: stages and steps are not names and counts; save the solution again")
    return dict(zip(stages.tolist(), steps.tolist(), strict=True))


def _scalar(path: Any, arrays: dict[str, Any], name: str) -> float:
    value = arrays.get(name)
    if value is None or value.shape != () or value.dtype.kind not in "fi":
        raise InputError(f"{path}: {name} is not one number; save the solution again")
    return float(value)


_NUMBER: Final = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"

_LAST_DIGITS: Final = 1e-12
"""What bounds computed by another BLAS may differ by."""

"""Saved solutions: written whole, read without trust."""

import os
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, frozen
from marginflow.errors import InputError
from marginflow.norms import parse_norm
from marginflow.npz import read_npz, require, write_npz
from marginflow.problem.constraints import Constraints
from marginflow.problem.files import names_of
from marginflow.problem.problem import Problem
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.certificate import Certificate, certify
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution


def _supported(status: SvmStatus, certificate: Certificate, tol: float, svm: Svm, dual: Floats) -> bool:
    """Whether weights and multipliers show what `status` says."""
    if status is SvmStatus.optimal:
        return certificate.gap <= tol
    if status is SvmStatus.infeasible:
        from marginflow.svm.proof.farkas import prove

        return prove(svm, dual) is not None or bool(dual.any() and _zero_rows(dual, svm.constraints))
    return True


def _zero_rows(dual: Floats, constraints: Constraints) -> bool:
    rows = dual > 0.0
    return not constraints.a[rows].any() or not constraints.queries[rows].any()


FORMAT: Final = 1
"""Version of the saved files; raised when their meaning changes."""


_SAVED: Final = "format norm W dual sample token a z value lower upper status reason tol stages steps".split()


def save_solution(solution: Solution, path: str | os.PathLike[str]) -> None:
    """Write an .npz file that `marginflow svm --verify` can recheck.

    Raises:
        InputError: the file cannot be written.
    """
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "norm": solution.norm.name,
        "W": solution.W,
        "dual": solution.dual,
        "sample": solution.constraints.sample,
        "token": solution.constraints.token,
        "a": solution.constraints.a,
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
    if solution.problem is not None:
        arrays |= {
            "X": solution.problem.X,
            "scores": solution.problem.scores,
            "mask": solution.problem.mask,
            "selection": solution.selection,
            "against": solution.against,
            "name": solution.problem.name,
            **names_of(solution.problem),
        }
    from marginflow.svm.referee.verify import digest

    write_npz(path, **arrays, digest=digest(arrays))


def load_solution(path: str | os.PathLike[str]) -> Solution:
    """Read what `save` wrote; the certificate is computed anew, nothing in the file is believed.

    Raises:
        InputError: not such a file, or one whose arrays do not fit each other.
    """
    arrays = read_npz(path)
    require(path, arrays, *_SAVED)
    if int(arrays["format"]) != FORMAT:
        raise InputError(f"{path}: got format {int(arrays['format'])}; expected {FORMAT}; solve and save it again")
    norm = parse_norm(str(arrays["norm"]))
    constraints = Constraints(arrays["a"], arrays["sample"], arrays["z"], arrays["token"])
    problem = None
    if "X" in arrays:
        require(path, arrays, "scores", "mask", "selection", "against")
        problem = Problem(
            arrays["X"],
            arrays["z"],
            arrays["scores"],
            mask=arrays["mask"],
            name=str(arrays.get("name", "")),
            token_names=arrays.get("token_names"),
            sample_names=arrays.get("sample_names"),
        )
    W, dual = arrays["W"], arrays["dual"]
    if W.shape != constraints.shape or dual.shape != (len(constraints),):
        raise InputError(
            f"{path}: got W {W.shape} and dual {dual.shape}; expected {constraints.shape} and ({len(constraints)},)"
        )
    status = str(arrays["status"])
    if status not in SvmStatus.__members__:
        raise InputError(f"{path}: got status {status!r}; expected one of {list(SvmStatus.__members__)}")
    selection = frozen(arrays["selection"]) if problem is not None else None
    tol = float(arrays["tol"])
    svm = Svm(constraints, norm, rational.slip(constraints, problem, selection))
    weights = svm.weights(W)
    certificate = certify(svm, weights, dual).certificate
    if certificate.gap > tol and rational.affordable(svm):
        certificate = certify(svm, weights, dual, exact=True).certificate
    word, reason = SvmStatus[status], str(arrays["reason"])
    if not _supported(word, certificate, tol, svm, dual):
        word, reason = SvmStatus.inaccurate, f"{path} says {status}, which its arrays do not support"
    return Solution(
        constraints=constraints,
        norm=norm,
        W=frozen(W),
        dual=frozen(dual),
        value=norm.value(weights) if certificate.upper < np.inf else float("nan"),
        certificate=certificate,
        status=word,
        reason=reason,
        tol=tol,
        iterations=dict(zip(arrays["stages"].tolist(), arrays["steps"].tolist(), strict=True)),
        problem=problem,
        selection=selection,
        against=str(arrays["against"]) if problem is not None else "all",  # type: ignore[arg-type]
    )

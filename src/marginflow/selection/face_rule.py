"""The rule for faces: at their SVM against worse tokens every token of larger effective score has a margin above 1.

Derived for faces of one token a row (docs/attractors.md), measured for others (docs/flow.md 14).
"""

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np

from marginflow.model.face_limit import FaceLimit
from marginflow.norms import Frobenius
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve


class FaceEnd(Enum):
    """What the rule says of faces."""

    possible = "a possible end"
    left = "no end"
    undecided = "undecided"


@dataclass(frozen=True, eq=False)
class EndOfFaces:
    """The rule's answer for faces, and what shows it.

    Attributes:
        says: the answer.
        sentence: why.
        solution: the SVM with equalities inside the faces and margins of 1 over tokens of smaller effective score; None
            where there are none.
        margin: the least margin there of a token of larger effective score; inf where there is none.
        off: how far the exact margin may be from it; inf where that is not known.
    """

    says: FaceEnd
    sentence: str
    solution: Solution | None
    margin: float
    off: float


@lru_cache(maxsize=1024)
def end_of_faces(limit: FaceLimit, norm: str) -> EndOfFaces:
    """Apply the rule to the faces of `limit` in `norm`, that which the flow minimises."""
    worse, better = limit.held_back, limit.better
    if worse.equal.all():
        return EndOfFaces(FaceEnd.left, "no token has a smaller effective score", None, -math.inf, 0.0)
    solution = solve(worse, norm)
    if solution.status is SvmStatus.infeasible:
        return EndOfFaces(FaceEnd.left, "no weights have these faces", solution, -math.inf, 0.0)
    if solution.status is not SvmStatus.optimal:
        return EndOfFaces(FaceEnd.undecided, f"their SVM: {solution.reason}", solution, math.nan, math.inf)
    if not len(better):
        return EndOfFaces(FaceEnd.possible, "no token outside has a larger effective score", solution, math.inf, 0.0)
    margins = better.margins(solution.beta if solution.norm.diagonal else solution.W)
    b = int(margins.argmin())
    least, off = float(margins[b]), _off(solution, limit, b)
    name = f"token {better.token[b]} of sample {better.sample[b]}, of larger effective score,"
    said = f"{name} has margin {least:.6g} at their {solution.norm.name} SVM"
    if abs(least - 1.0) <= (off if math.isfinite(off) else 1e-6):
        return EndOfFaces(FaceEnd.undecided, f"{said}, on the border of the rule", solution, least, off)
    if least > 1.0:
        return EndOfFaces(FaceEnd.possible, f"a possible end by the rule: {said}", solution, least, off)
    return EndOfFaces(FaceEnd.left, f"the rule says that they will be left: {said}", solution, least, off)


def _off(solution: Solution, limit: FaceLimit, b: int) -> float:
    """How far the margin of better token `b` may be from that of the optimum: of a Euclidean norm, whose optimum is one
    point W*, |W - W*|^2 <= |W|^2 - |W*|^2 for every W that satisfies the constraints.
    """
    if not isinstance(solution.norm, Frobenius):
        return math.inf
    upper, lower = solution.certificate.upper, solution.certificate.lower
    row = limit.better
    size = float(np.linalg.norm(row.a[b]) * np.linalg.norm(row.queries[b]))
    return size * math.sqrt(max(upper * upper - lower * lower, 0.0)) * (1.0 + 1e-9)

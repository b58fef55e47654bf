"""What can be said about a problem before anything is trained, each statement with its proof."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marginflow.losses import AbstractOutputLoss
from marginflow.optimal_attention.find import faces
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Problem
from marginflow.svm.proof.separable import separability
from marginflow.svm.solve import solve


@dataclass(frozen=True)
class Description:
    """Sizes, scores and separability of a problem.

    Attributes:
        name, n, d, d_z: the problem; lengths: least and largest number of tokens.
        outputs, heads: their numbers; values: the dimension of an output where tokens have values, else None.
        loss: that of the faces, or None where the tokens of largest score are selected.
        faces: of a loss, `FaceSummary` as a dict; else None.
        constraints: their number C; equalities: how many of them are between members of one face.
        optimal: the optimal token of each sample.
        independent: whether the C matrices a_c z' are linearly independent: they can then be separated
            whatever their signs (some W has every margin equal to 1); None where the spectrum is undecided.
        separable: whether some W has every margin positive; `proof` is the sentence that shows it.
        diagonal_separable: the same for W = diag(beta); None where d != d_z or undecided.
        score_gap: least and median of best minus second best score, with the sample of the least.
        ties: pairs of tokens other than the optimal one with equal score, which no force separates.
            None where tokens have values.
        minimal_loss: L* of the loss, the exponential one where none is said; log_minimal_loss is its logarithm, None
            where it has none.
    """

    name: str
    n: int
    d: int
    d_z: int
    outputs: int
    heads: int
    values: int | None
    loss: str | None
    faces: dict[str, Any] | None
    lengths: dict[str, int]
    constraints: int
    equalities: int
    optimal: list[int]
    independent: bool | None
    separable: bool | None
    proof: str
    diagonal_separable: bool | None
    diagonal_proof: str
    score_gap: dict[str, float] | None
    ties: int | None
    minimal_loss: float
    log_minimal_loss: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values."""
        return asdict(self)


@dataclass(frozen=True)
class FaceSummary:
    """What `describe` says of faces.

    Attributes:
        several: rows with more than one member; largest: the most members of a row.
        unique: whether the shares are one point in every row; decided: whether the members are proved in every row.
        gap: of the least loss; attainable: whether some W has the shares; reason: what is not so.
    """

    several: int
    largest: int
    unique: bool
    decided: bool
    gap: float
    attainable: bool | None
    reason: str


def default_loss(problem: Problem) -> str | None:
    """What is meant where no loss is said: None (the optimal tokens) for scores, else what the labels are made for."""
    if problem.labels is None:
        return None
    return "cross-entropy" if problem.labels.ndim == 1 else "squared"


def describe_problem(problem: Problem, loss: str | AbstractOutputLoss | None = None) -> Description:
    """Describe `problem`; decides separability by a certificate, not by a solver's word.

    Args:
        problem: the problem.
        loss: of which the faces are told; None for the optimal tokens, or for values cross-entropy (of classes) or
            squared (of targets).
    """
    loss = default_loss(problem) if loss is None else loss
    found = None if loss is None else faces(problem, loss)
    rows = _rows(problem, found)
    general, proof = _separable(rows, problem, found, False)
    diagonal, diagonal_proof = _separable(rows, problem, found, True)
    gaps = None if problem.values is not None else _score_gaps(problem)
    log_least = problem.log_minimal_loss if found is None else _log(found.minimal_loss)
    outputs, heads = problem.counts
    return Description(
        name=problem.name,
        n=problem.n,
        d=problem.d,
        d_z=problem.d_z,
        outputs=outputs,
        heads=heads,
        values=None if problem.values is None else problem.k,
        loss=None if found is None else found.loss,
        faces=None if found is None else asdict(_summary(found)),
        lengths={"min": int(problem.lengths.min()), "max": int(problem.lengths.max())},
        constraints=len(rows),
        equalities=int(rows.equal.sum()),
        optimal=[int(token) for token in (problem.optimal if found is None else found.reference)],
        independent=independent(rows),
        separable=general,
        proof=proof,
        diagonal_separable=diagonal,
        diagonal_proof=diagonal_proof,
        score_gap=None
        if gaps is None
        else {
            "least": float(gaps.min()),
            "sample": int(gaps.argmin()),
            "median": float(np.median(gaps)),
        },
        ties=None if gaps is None else _ties(problem),
        minimal_loss=float(np.exp(np.clip(problem.log_minimal_loss, -745.0, 709.0)))
        if found is None
        else found.minimal_loss,
        log_minimal_loss=log_least,
    )


def _rows(problem: Problem, found: Faces | None) -> Constraints:
    """The constraints of the faces; of the reference tokens where the shares are not one point."""
    if found is None:
        return problem.constraints()
    return problem.constraints(found if found.unique.all() else found.reference)


def _separable(rows: Constraints, problem: Problem, found: Faces | None, diagonal: bool) -> tuple[bool | None, str]:
    if diagonal and problem.d != problem.d_z:
        return None, f"undefined: tokens have {problem.d} dimensions and queries {problem.d_z}"
    if found is not None and not found.unique.all():
        return None, "undecided: the shares of a row are not one point, so that no one set of constraints is meant"
    if rows.plain:
        answer = separability(rows, diagonal)
        return answer.separable, answer.proof
    # Several heads, or equalities: the SVM's own certificate.
    solution = solve(rows, "l2" if diagonal else "frobenius", 1e-3)
    word = {"optimal": True, "infeasible": False}.get(solution.status.name)
    return (
        word,
        solution.reason if word is not True else f"weights of certified norm {solution.certificate.interval(6)}",
    )


def _summary(found: Faces) -> FaceSummary:
    sizes = found.members.sum(axis=1)
    return FaceSummary(
        several=int((sizes > 1).sum()),
        largest=int(sizes.max()),
        unique=bool(found.unique.all()),
        decided=bool(found.decided.all()),
        gap=found.gap,
        attainable=found.attainable,
        reason=found.reason,
    )


def _log(value: float) -> float | None:
    return math.log(value) if value > 0.0 else None


LARGEST_GRAM = 3000
"""Beyond this many constraints their independence is left undecided: the Gram matrix would not be small."""


def independent(rows: Constraints) -> bool | None:
    """Whether the matrices a_c z' are linearly independent, from the spectrum of their scaled Gram matrix.

    Each a_c z' is scaled to norm 1. With the smallest eigenvalue above the rounding error of the largest they
    are independent; with more constraints than entries of W, or an exactly zero row, they are not; else None.
    """
    d, d_z = rows.shape
    sizes = np.linalg.norm(rows.a, axis=1)
    if len(rows) > d * d_z or not sizes.all():
        return False
    if len(rows) > LARGEST_GRAM:
        return None
    scaled = Constraints(rows.a / sizes[:, None], rows.sample, _unit(rows.z), rows.token)
    spectrum = np.linalg.eigvalsh(scaled.gram())
    doubt = 10 * len(rows) * np.finfo(float).eps * (d + d_z + spectrum[-1])
    return True if spectrum[0] > doubt else None


def _unit(z: Any) -> Any:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def _score_gaps(problem: Problem) -> Any:
    """(n,) best minus best score among tokens that are not the optimal one (nor an exact duplicate of it)."""
    rows = np.arange(problem.n)
    own = problem.scores[rows, problem.optimal][:, None]
    other = np.where(problem.mask & (problem.scores < own), problem.scores, -np.inf).max(axis=1)
    return own[:, 0] - other


def _ties(problem: Problem) -> int:
    pairs = 0
    for scores, mask, best in zip(problem.scores, problem.mask, problem.optimal, strict=True):
        counts = np.unique(scores[mask & (scores < scores[best])], return_counts=True)[1]
        pairs += int((counts * (counts - 1) // 2).sum())
    return pairs

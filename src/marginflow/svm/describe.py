"""What can be said about a problem before anything is trained, each statement with its proof."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.svm.proof.separable import separability


@dataclass(frozen=True)
class Description:
    """Sizes, scores and separability of a problem.

    Attributes:
        name, n, d, d_z: the problem; lengths: least and largest number of tokens.
        constraints: their number C.
        optimal: the optimal token of each sample.
        independent: whether the C matrices a_c z' are linearly independent: they can then be separated
            whatever their signs (some W has every margin equal to 1); None where the spectrum is undecided.
        separable: whether some W has every margin positive; `proof` is the sentence that shows it.
        diagonal_separable: the same for W = diag(beta); None where d != d_z or undecided.
        score_gap: least and median of best minus second best score, with the sample of the least.
        ties: pairs of tokens other than the optimal one with equal score, which no force separates.
        minimal_loss: L* of the exponential loss; log_minimal_loss is its logarithm.
    """

    name: str
    n: int
    d: int
    d_z: int
    lengths: dict[str, int]
    constraints: int
    optimal: list[int]
    independent: bool | None
    separable: bool | None
    proof: str
    diagonal_separable: bool | None
    diagonal_proof: str
    score_gap: dict[str, float]
    ties: int
    minimal_loss: float
    log_minimal_loss: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain Python values."""
        return asdict(self)


def describe_problem(problem: Problem) -> Description:
    """Describe `problem`; decides separability by a certificate, not by a solver's word."""
    rows = problem.constraints()
    general = separability(rows, False)
    if problem.d == problem.d_z:
        diagonal = separability(rows, True)
        diagonal_separable, diagonal_proof = diagonal.separable, diagonal.proof
    else:
        diagonal_separable = None
        diagonal_proof = f"undefined: tokens have {problem.d} dimensions and queries {problem.d_z}"
    gaps = _score_gaps(problem)
    return Description(
        name=problem.name,
        n=problem.n,
        d=problem.d,
        d_z=problem.d_z,
        lengths={"min": int(problem.lengths.min()), "max": int(problem.lengths.max())},
        constraints=len(rows),
        optimal=[int(token) for token in problem.optimal],
        independent=independent(rows),
        separable=general.separable,
        proof=general.proof,
        diagonal_separable=diagonal_separable,
        diagonal_proof=diagonal_proof,
        score_gap={
            "least": float(gaps.min()),
            "sample": int(gaps.argmin()),
            "median": float(np.median(gaps)),
        },
        ties=_ties(problem),
        minimal_loss=float(np.exp(np.clip(problem.log_minimal_loss, -745.0, 709.0))),
        log_minimal_loss=problem.log_minimal_loss,
    )


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

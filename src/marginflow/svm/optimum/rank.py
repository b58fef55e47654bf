"""The rank of the optimum, with the gap in its spectrum that supports it (docs/svm.md, Rank)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.optimum.radius import radius


if TYPE_CHECKING:
    from marginflow.svm.solution import Solution


@dataclass(frozen=True)
class Rank:
    """How many singular values (or weights, for diagonal norms) are not zero, and how clear that is.

    Attributes:
        rank: the number; None where no gap stands out.
        kept: the smallest singular value counted, over the largest; nan for rank 0.
        dropped: a bound on those not counted, over the largest.
        sentence: what supports the number.
    """

    rank: int | None
    kept: float
    dropped: float
    sentence: str


def numerical_rank(solution: "Solution") -> Rank:
    """Place the rank at the widest gap between what is there and what the certificate still allows."""
    if not np.isfinite(solution.value):
        return Rank(None, np.nan, np.nan, "no separating weights, no rank")
    s = spectrum(solution.W, solution.norm.diagonal)
    if len(s) == 0 or s[0] == 0.0:
        return Rank(0, np.nan, 0.0, "W = 0")
    beyond, how = _beyond(solution, s)
    kept, dropped = s / s[0], np.maximum(beyond, np.finfo(float).eps * s[0]) / s[0]
    r = int(np.argmax(kept / dropped)) + 1
    clear = kept[r - 1] > _CLEAR * dropped[r - 1]
    return Rank(r if clear else None, float(kept[r - 1]), float(beyond[r - 1] / s[0]), how)


def spectrum(M: Floats, diagonal: bool) -> Floats:
    """Singular values of M (d, d_z), largest first; of its diagonal alone for diagonal norms."""
    if diagonal:
        return np.sort(np.abs(M.diagonal()))[::-1]
    return np.asarray(np.linalg.svd(M, compute_uv=False))


def _beyond(solution: "Solution", s: Floats) -> tuple[Floats, str]:
    """For r = 1, 2, ...: a bound on sigma_{r+1} of the optimum, and where it comes from."""
    certificate, norm = solution.certificate, solution.norm
    after = np.append(s[1:], 0.0)
    if norm.strictly_convex:
        # Weyl: singular values of two matrices differ by no more than the matrices do.
        spread = after + radius(solution)
        spread[-1] = 0.0
        return (
            spread,
            "the optimum lies within the certified radius of W, and singular values move no further",
        )
    if norm.name in ("nuclear", "l1"):
        # sum_i (1 - b_i) sigma_i <= upper - lower for every optimum, b_i the values of the dual matrix.
        M = solution.constraints.adjoint(solution.dual)
        if norm.diagonal:
            b = np.abs(solution.dual @ solution.constraints.diagonal)
            b = b[np.argsort(-np.abs(solution.W.diagonal()), kind="stable")]
            b = np.maximum.accumulate(b[::-1])[::-1]
        else:
            b = spectrum(M, False)
        slack = np.maximum(1.0 - np.append(b[1:], 0.0), 1e-300)
        bound = (certificate.upper - certificate.lower) / slack
        bound[-1] = 0.0
        return np.maximum(after, np.minimum(bound, s[0])), (
            "what the dual matrix leaves to further singular values of any optimum"
        )
    # sigma_{r+1} of these weights alone; other optima may have other ranks.
    return np.maximum(after, certificate.gap * s[0]), "the spectrum of the weights returned"


_CLEAR: Final = 100.0
"""How far the last value counted must stand above the bound on the rest."""

"""Equalities that say nothing new, left out before a solver: its equations would be singular."""

from typing import Final

import numpy as np
from scipy.linalg.lapack import dpstrf

from marginflow.arrays import Bools, Floats
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm


def independent(svm: Svm) -> Bools:
    """(C,) all rows but equalities that are combinations of the others, to working precision.

    What a solver finds without them is certified with them: whether they do say nothing new is not decided here.
    """
    kept = np.ones(len(svm), dtype=bool)
    equal = np.flatnonzero(svm.constraints.equal)
    rows = svm.rows.restrict(equal)
    _, order, rank, _ = dpstrf(rows.gram(), tol=_DEPENDENT)
    kept[equal[order[rank:] - 1]] = False
    return kept


def spread(found: Candidate, kept: Bools) -> Candidate:
    """`found` for all rows: those that were left out have no multiplier."""

    def whole(dual: Floats) -> Floats:
        out = np.zeros(len(kept))
        out[kept] = dual
        return out

    ray = None if found.ray is None else whole(found.ray)
    return Candidate(found.W, whole(found.dual), ray, found.iterations)


_DEPENDENT: Final = 1e-12

"""Partial selections whose tokens no weights can select: nothing extends them."""

import numpy as np

from marginflow.arrays import Ints
from marginflow.attractors.candidates import Candidates
from marginflow.problem.constraints import Constraints
from marginflow.svm.proof.separable import separability


def constraints(candidates: Candidates, alpha: Ints, *, better: bool) -> Constraints:
    """The constraints of the first len(alpha) samples against worse (and `better`) tokens."""
    a, sample, token = [], [], []
    for i, selected in enumerate(alpha):
        other = candidates.worse[i, selected]
        if better:
            other = other | candidates.better[i, selected]
        X = candidates.problem.X[candidates.order[i]]
        a.append(X[selected] - X[other])
        sample.append(np.full(int(other.sum()), i))
        token.append(np.flatnonzero(other))
    z = candidates.problem.z[candidates.order]
    return Constraints(np.concatenate(a), np.concatenate(sample), z, np.concatenate(token))


def inseparable(candidates: Candidates, alpha: Ints) -> bool:
    """Proved: no W has positive margins for the first len(alpha) samples, so no attractor extends `alpha`."""
    rows = constraints(candidates, alpha, better=True)
    return separability(rows, candidates.diagonal).separable is False

"""Two rows of level 0 that are each other's negative say what one equality says; solvers are given that one."""

from dataclasses import replace

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm


def pairs(constraints: Constraints) -> tuple[Ints, Ints]:
    """Rows of level 0, and their negatives (a and z to the bit, with one sign or the other)."""
    first: dict[bytes, int] = {}
    left, right = [], []
    for c in np.flatnonzero((constraints.level == 0.0) & ~constraints.equal).tolist():
        a, z = constraints.a[c] + 0.0, constraints.queries[c] + 0.0
        opposite = first.get((-a + 0.0).tobytes() + z.tobytes(), first.get(a.tobytes() + (-z + 0.0).tobytes()))
        if opposite is None:
            first.setdefault(a.tobytes() + z.tobytes(), c)
        elif opposite not in left:
            left.append(opposite)
            right.append(c)
    return np.array(left, dtype=np.intp), np.array(right, dtype=np.intp)


def merged(svm: Svm, left: Ints, right: Ints) -> tuple[Svm, Bools]:
    """`svm` with equalities `left` in place of the pairs, and which of its rows are kept."""
    rows = svm.constraints
    equal, kept = np.array(rows.equal), np.ones(len(rows), dtype=bool)
    equal[left], kept[right] = True, False
    whole = Constraints(rows.a, rows.sample, rows.z, rows.token, level=rows.level, equal=equal)
    return replace(svm, constraints=whole).restrict(kept), kept


def split(found: Candidate, kept: Bools, left: Ints, right: Ints) -> Candidate:
    """`found` for the pairs: the multiplier of an equality is one of the two, by its sign."""

    def whole(dual: Floats) -> Floats:
        out = np.zeros(len(kept))
        out[kept] = dual
        out[right] = np.maximum(-out[left], 0.0)
        out[left] = np.maximum(out[left], 0.0)
        return out

    return replace(found, dual=whole(found.dual), ray=None if found.ray is None else whole(found.ray))

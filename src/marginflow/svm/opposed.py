"""Two rows that are each other's negative: of level 0 they say what one equality says, of level 1 they contradict."""

from dataclasses import replace
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, largest_in_rows
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.threads import over_rows


def pairs(constraints: Constraints) -> tuple[Ints, Ints]:
    """Rows of level 0, and their negatives (a and z to the bit, with one sign or the other)."""
    first: dict[bytes, int] = {}
    left, right = [], []
    for c in np.flatnonzero((constraints.level == 0.0) & ~constraints.equal).tolist():
        a, z = constraints.a[c] + 0.0, constraints.z[constraints.sample[c]] + 0.0
        opposite = first.get((-a + 0.0).tobytes() + z.tobytes(), first.get(a.tobytes() + (-z + 0.0).tobytes()))
        if opposite is None:
            first.setdefault(a.tobytes() + z.tobytes(), c)
        elif opposite not in left:
            left.append(opposite)
            right.append(c)
    return np.array(left, dtype=np.intp), np.array(right, dtype=np.intp)


def contradiction(constraints: Constraints) -> Floats | None:
    """(C,) multipliers of two rows of level 1 that add up to zero: opposite to the bit but for powers of two.

    None where there are no such rows. Solvers only see norms that grow without end on them.
    """
    rows = np.flatnonzero((constraints.level > 0.0) & ~constraints.equal)
    if len(rows) < 2:
        return None
    draw = np.random.default_rng(0)
    a_mark, a_size = _marks(constraints.a, draw)
    z_mark, z_size = _marks(constraints.z, draw)
    sample = constraints.sample[rows]
    mark, size = a_mark[rows] * z_mark[sample], a_size[rows] + z_size[sample]
    # Rows of one direction have one mark but for rounding, opposite ones its negative.
    order = np.argsort(np.abs(mark))
    near, far = np.abs(mark[order[:-1]]), np.abs(mark[order[1:]])
    beside = np.flatnonzero((mark[order[:-1]] * mark[order[1:]] < 0.0) & (far - near <= 1e-9 * far))
    for k in beside.tolist():
        i, j = order[k], order[k + 1]
        if _opposite(constraints, rows[i], rows[j]):
            out = np.zeros(len(constraints))
            out[rows[[i, j]]] = np.ldexp(1.0, size[[i, j]].min() - size[[i, j]])
            return out
    return None


def _marks(rows: Floats, draw: np.random.Generator) -> tuple[Floats, Ints]:
    """A random functional of every row over the power of two in its largest entry, and that power."""
    mark, power, along = np.empty(len(rows)), np.empty(len(rows), dtype=np.intp), 1.0 + draw.random(rows.shape[1])

    def take(part: slice) -> None:
        some = rows[part]
        own = np.frexp(largest_in_rows(some))[1].astype(np.intp)
        # Powers of two go through products and sums that stay in range.
        if len(own) and np.abs(own).max() < IN_RANGE:
            mark[part] = np.ldexp(some @ along, -own)
        else:
            mark[part] = np.ldexp(some, -own[:, None]) @ along
        power[part] = own

    with np.errstate(over="ignore", invalid="ignore"):
        over_rows(take, rows)
    return mark, power


def _opposite(constraints: Constraints, i: int, j: int) -> bool:
    a, z = constraints.a[[i, j]], constraints.z[constraints.sample[[i, j]]]
    a, z = (np.ldexp(v, -np.frexp(largest_in_rows(v))[1][:, None]) for v in (a, z))
    return bool(((a[0] == -a[1]).all() and (z[0] == z[1]).all()) or ((a[0] == a[1]).all() and (z[0] == -z[1]).all()))


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


IN_RANGE: Final = 900
"""Powers of two of the largest entry of a row with which sums of its entries neither overflow nor lose digits."""

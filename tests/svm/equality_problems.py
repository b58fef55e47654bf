"""Small problems with equalities and levels, and an exact optimum of the Euclidean ones by trying every active set."""

from fractions import Fraction
from itertools import combinations

import numpy as np

import marginflow as mf


def faces_of(seed: int, *, whole: bool = False, n: int | None = None, d: int | None = None) -> mf.Constraints:
    """Faces of one or two tokens out of four, some tokens outside at level 0; tokens shared between samples.

    Whole numbers make dependent equalities and contradictions common.
    """
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 5)) if n is None else n
    d = int(draw.integers(2, 5)) if d is None else d
    tokens = draw.integers(-2, 3, (6, d)).astype(float) if whole else draw.standard_normal((6, d))
    z = draw.integers(-2, 3, (n, d)).astype(float) if whole else draw.standard_normal((n, d))
    z[:, 0] += ~z.any(axis=1)
    a, sample, equal, level = [], [], [], []
    for i in range(n):
        chosen, inside = draw.permutation(6)[:4], draw.integers(1, 3)
        for k in range(1, 4):
            a.append(tokens[chosen[0]] - tokens[chosen[k]])
            sample.append(i)
            equal.append(k < inside)
            level.append(0.0 if k < inside else float(draw.random() < 0.8))
    return mf.Constraints(a, sample, z, level=level, equal=equal)


def opposed(rows: mf.Constraints) -> mf.Constraints:
    """The same with every equality as two inequalities of level 0."""
    back = np.flatnonzero(rows.equal)
    return mf.Constraints(
        np.vstack((rows.a, -rows.a[back])),
        np.append(rows.sample, rows.sample[back]),
        rows.z,
        level=np.append(rows.level, np.zeros(len(back))),
    )


def exact_square(rows: mf.Constraints) -> Fraction | None:
    """The least |W|_F^2 in rational numbers, None where nothing separates: some active set has a KKT point."""
    lines = [[Fraction(x) * Fraction(y) for x in a for y in z] for a, z in zip(rows.a.tolist(), rows.queries.tolist())]
    level = [int(x) for x in rows.level]
    held = [c for c in range(len(lines)) if rows.equal[c]]
    others = [c for c in range(len(lines)) if not rows.equal[c]]
    gram = [[dot(p, q) for q in lines] for p in lines]
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            active = held + list(some)
            dual = solved([[gram[i][j] for j in active] for i in active], [level[c] for c in active])
            if dual is None or any(x < 0 for x, c in zip(dual, active) if not rows.equal[c]):
                continue
            margins = [sum(x * gram[c][j] for x, j in zip(dual, active)) for c in range(len(lines))]
            if all(m == 0 if rows.equal[c] else m >= level[c] for c, m in enumerate(margins)):
                return sum((x * level[c] for x, c in zip(dual, active)), Fraction(0))
    return None


def dot(x, y) -> Fraction:
    return sum((p * q for p, q in zip(x, y)), Fraction(0))


def solved(matrix, right) -> list[Fraction] | None:
    """A solution of a symmetric system in rational numbers, 0 where it leaves a choice; None where there is none."""
    lines = [[Fraction(x) for x in line] + [Fraction(b)] for line, b in zip(matrix, right)]
    pivots: list[tuple[int, int]] = []
    for column in range(len(matrix)):
        row = next((i for i in range(len(pivots), len(lines)) if lines[i][column]), None)
        if row is None:
            continue
        k = len(pivots)
        lines[k], lines[row] = lines[row], lines[k]
        lines[k] = [x / lines[k][column] for x in lines[k]]
        for i, line in enumerate(lines):
            if i != k and line[column]:
                lines[i] = [x - line[column] * y for x, y in zip(line, lines[k])]
        pivots.append((k, column))
    if any(line[-1] for line in lines[len(pivots) :]):
        return None
    out = [Fraction(0)] * len(matrix)
    for row, column in pivots:
        out[column] = lines[row][-1]
    return out

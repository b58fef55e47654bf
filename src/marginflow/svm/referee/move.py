"""How far weights are from ones whose margins vanish exactly, in exact arithmetic (docs/svm.md, Equalities).

With G the exact Gram matrix of independent rows, rho their margins and Y near G^-1, alpha = |I - G Y|_inf < 1: the
nearest such weights are away by delta, delta^2 = rho' G^-1 rho <= |rho|^2 |Y|_inf / (1 - alpha).
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.referee.exact import Exact, root_up
from marginflow.svm.referee.rows import Row


def length_up(row: Row, z: Floats, diagonal: bool) -> Fraction:
    """A number that the length of the row, |a||z| or |a o z|, does not exceed."""
    query = Exact.of(z[row.sample])
    if diagonal:
        both = row.a * query
        return root_up((both * both).total())
    return root_up((row.a * row.a).total() * (query * query).total())


def distance_up(rows: Sequence[Row], margins: Sequence[Fraction], z: Floats, diagonal: bool) -> Fraction | None:
    """A bound of delta for `rows`, none of them zero; None where no independent ones are shown to span them all."""
    total = Fraction(0)
    for part in _apart(rows, z, diagonal):
        found = _square_up([rows[c] for c in part], [margins[c] for c in part], z, diagonal)
        if found is None:
            return None
        total += found
    return root_up(total)


def _apart(rows: Sequence[Row], z: Floats, diagonal: bool) -> list[list[int]]:
    """Groups of rows that share no coordinate of their queries, so that their inner products vanish."""
    groups: list[tuple[set[int], list[int]]] = []
    for c, row in enumerate(rows):
        seen = set(np.flatnonzero(z[row.sample]).tolist())
        if diagonal:
            seen &= set(np.flatnonzero(row.a.whole != 0).tolist())
        inside = [c]
        for group in [group for group in groups if group[0] & seen]:
            seen |= group[0]
            inside = group[1] + inside
            groups.remove(group)
        groups.append((seen, inside))
    return [sorted(group[1]) for group in groups]


def _square_up(rows: list[Row], margins: list[Fraction], z: Floats, diagonal: bool) -> Fraction | None:
    """A bound of delta^2 for rows of one group."""
    if not any(margins):
        return Fraction(0)
    powers = [-math.frexp(math.sqrt(_inner(row, row, z, diagonal)))[1] for row in rows]
    G = [[Fraction(0)] * len(rows) for _ in rows]
    for i, row in enumerate(rows):
        for j in range(i + 1):
            G[i][j] = G[j][i] = _inner(row, rows[j], z, diagonal) * Fraction(2) ** (powers[i] + powers[j])
    near = np.array([[float(x) for x in line] for line in G])
    kept = _independent(near)
    own, size = [[G[i][j] for j in kept] for i in kept], near[np.ix_(kept, kept)]
    bound = _inverse_up(own, size)
    if bound is None:
        return None
    for c in sorted(set(range(len(rows))) - set(kept)):
        if not _depends(own, size, [G[j][c] for j in kept], G[c][c]):
            return None
    rho = [margins[c] * Fraction(2) ** powers[c] for c in kept]
    return sum((x * x for x in rho), Fraction(0)) * bound


def _inner(one: Row, other: Row, z: Floats, diagonal: bool) -> Fraction:
    """The exact inner product of two rows."""
    p, q = Exact.of(z[one.sample]), Exact.of(z[other.sample])
    if diagonal:
        return ((one.a * p) * (other.a * q)).total()
    return (one.a * other.a).total() * (p * q).total()


def _independent(G: Floats) -> list[int]:
    """Indices of rows that look independent: Cholesky with the largest pivot first."""
    left, kept = G.copy(), []
    for _ in range(len(G)):
        c = int(left.diagonal().argmax())
        if left[c, c] <= _DEPENDENT:
            break
        kept.append(c)
        left -= np.outer(left[:, c], left[c]) / left[c, c]
        left[c] = left[:, c] = 0.0
    return sorted(kept)


def _inverse_up(G: list[list[Fraction]], near: Floats) -> Fraction | None:
    """A bound of |G^-1|_inf, and with it of the largest eigenvalue of G^-1."""
    try:
        Y = np.linalg.inv(near)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(Y).all():
        return None
    inverse = Exact.of(Y)
    unit = Fraction(2) ** inverse.power
    common = max(x.denominator for line in G for x in line)
    product = np.array([[int(x * common) for x in line] for line in G], dtype=object) @ inverse.whole
    alpha = Fraction(0)
    for i, line in enumerate(product):
        off = sum(abs(int(x) * unit / common - (i == j)) for j, x in enumerate(line))
        alpha = max(alpha, Fraction(off))
    if alpha >= Fraction(1, 2):
        return None
    return max(sum(abs(int(x)) for x in line) for line in inverse.whole) * unit / (1 - alpha)


def _depends(G: list[list[Fraction]], near: Floats, with_row: list[Fraction], square: Fraction) -> bool:
    """Whether a row of this exact `square` and these inner products combines those of G: |r - sum c_j r_j| = 0."""
    guess = np.linalg.solve(near, np.array([float(x) for x in with_row]))
    simple = [Fraction(x).limit_denominator(_SIMPLE) for x in guess.tolist()]
    if _left(G, with_row, square, simple) == 0:
        return True
    if len(G) > _SOLVED:
        return False
    exact = _solve(G, with_row)
    return exact is not None and _left(G, with_row, square, exact) == 0


def _left(G: list[list[Fraction]], with_row: list[Fraction], square: Fraction, c: list[Fraction]) -> Fraction:
    """|r - sum c_j r_j|^2."""
    used = [j for j, x in enumerate(c) if x]
    twice = sum((c[j] * with_row[j] for j in used), Fraction(0)) * 2
    return square - twice + sum((c[i] * c[j] * G[i][j] for i in used for j in used), Fraction(0))


def _solve(G: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """The solution of a system with a positive definite matrix, by elimination."""
    lines = [[*line, x] for line, x in zip(G, right, strict=True)]
    for k, head in enumerate(lines):
        if not head[k]:
            return None
        lines[k] = [x / head[k] for x in head]
        for i, line in enumerate(lines):
            if i != k and line[k]:
                lines[i] = [x - line[k] * y for x, y in zip(line, lines[k], strict=True)]
    return [line[-1] for line in lines]


_DEPENDENT: Final = 1e-12
"""What is left of a row's square beyond the others, below which it counts as dependent until shown to be."""

_SIMPLE: Final = 1000
"""The largest denominator of coefficients tried first."""

_SOLVED: Final = 32
"""Most rows of a combination solved for in rational numbers."""

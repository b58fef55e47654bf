"""The Euclidean optimum in rational numbers, for small problems: its rank is then no matter of tolerance."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from scipy.linalg import qr

from marginflow.arrays import Ints
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.proof import rational
from marginflow.svm.proof.elimination import solve_rational
from marginflow.svm.proof.rational import Rows


def exact_weights(optimum: Optimum) -> Rows | None:
    """(d, d_z) the least Frobenius W, or (1, d) the least l2 beta, exactly; None where the guess fails or is too large.

    The rows whose multipliers are positive, and equalities, are taken as the support: w = sum lambda r with margins at
    their level there. If the solution in rational numbers has multipliers >= 0 (equalities: any) and margins at their
    level or above everywhere it is the optimum (KKT).
    """
    svm = optimum.svm
    if len(svm) * optimum.weights.size > _TERMS:
        return None
    lines = rational.rows(svm)
    for held in _HELD:
        W = _least(optimum, lines, _independent(optimum, held))
        if W is not None:
            return in_rows(optimum, W)
    return None


def in_rows(optimum: Optimum, flat: Sequence[Fraction]) -> Rows:
    """The rows of W from all its entries; one row for diagonal weights."""
    width = optimum.weights.shape[-1]
    return [flat[k : k + width] for k in range(0, len(flat), width)]


def _least(optimum: Optimum, lines: Rows, support: Ints) -> list[Fraction] | None:
    """The shortest w with margins at their level on `support`, where it is the optimum."""
    if not 0 < len(support) <= _SUPPORT:
        return None
    chosen = [list(lines[c]) for c in support]
    gram = [[_dot(p, q) for q in chosen] for p in chosen]
    rows = optimum.svm.constraints
    level = [Fraction(x) for x in rows.level.tolist()]
    dual = solve_rational(gram, [level[c] for c in support])
    if dual is None or any(x < 0 and not rows.equal[c] for x, c in zip(dual, support, strict=True)):
        return None
    w = [sum((x * line[k] for x, line in zip(dual, chosen, strict=True)), Fraction(0)) for k in range(len(chosen[0]))]
    for line, least, equal in zip(lines, level, rows.equal.tolist(), strict=True):
        margin = _dot(line, w)
        if margin < least or (equal and margin != 0):
            return None
    return w


def exact_rank(W: Rows) -> int:
    """The rank of a rational matrix: what its kernel leaves of the columns."""
    columns = len(W[0]) if W else 0
    return columns - len(exact_kernel(W, columns))


def exact_kernel(rows: Rows, columns: int) -> list[list[Fraction]]:
    """A basis of {x: rows x = 0} for rational rows of length `columns`."""
    reduced: list[list[Fraction]] = []
    pivots: list[int] = []
    for row in rows:
        rest = list(row)
        for pivot, head in zip(pivots, reduced, strict=True):
            if rest[pivot]:
                factor = rest[pivot]
                rest = [x - factor * y for x, y in zip(rest, head, strict=True)]
        lead = next((j for j, x in enumerate(rest) if x), None)
        if lead is None:
            continue
        rest = [x / rest[lead] for x in rest]
        reduced = [[x - head[lead] * y for x, y in zip(head, rest, strict=True)] for head in reduced]
        reduced.append(rest)
        pivots.append(lead)
    out = []
    for j in (j for j in range(columns) if j not in pivots):
        x = [Fraction(0)] * columns
        x[j] = Fraction(1)
        for pivot, head in zip(pivots, reduced, strict=True):
            x[pivot] = -head[j]
        out.append(x)
    return out


def _independent(optimum: Optimum, held: float) -> Ints:
    """The rows with a multiplier, less those that depend on the others."""
    share = np.abs(optimum.dual) * optimum.lengths
    support = np.flatnonzero((share > held * share.max(initial=0.0)) | optimum.svm.constraints.equal)
    factors = optimum.factors(support)
    lines = (
        factors[0] if len(factors) == 1 else (factors[0][:, :, None] * factors[1][:, None, :]).reshape(len(support), -1)
    )
    _, T, order = qr(lines.T, mode="economic", pivoting=True)
    size = np.abs(T.diagonal())
    return np.sort(support[order[: int((size > 1e-10 * size[0]).sum())]])


def _dot(x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(x, y, strict=True)), Fraction(0))


_HELD: Final = (1e-14, 1e-9, 1e-6)
"""Multipliers above this share of the largest are taken as positive; the next is tried where that was no optimum."""

_SUPPORT: Final = 24
_TERMS: Final = 20_000
"""Most rows solved for, and most entries of all rows, in rational numbers: tenths of a second."""

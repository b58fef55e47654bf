"""Whether saved multipliers show that no weights separate, by arithmetic of this folder alone.

Either they cancel exactly, or exact multipliers follow from them: by solving for some of them in rational numbers, or
because the equations have a solution nearby (docs/svm.md, Verifying; of many rows, `full_rank`).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.svm import sentences
from marginflow.svm.referee.bounds import dual_matrix
from marginflow.svm.referee.exact import Exact
from marginflow.svm.referee.full_rank import spanned
from marginflow.svm.referee.rows import Row


Whole = npt.NDArray[np.object_]


def contradiction(constraints: Sequence[Row], z: Floats, dual: Floats, diagonal: bool) -> str | None:
    """What shows that some lambda >= 0 has sum lambda_c A_c = 0, not zero at level 1; None where nothing here does.

    Equalities have multipliers of any sign.

    Args:
        constraints: C of them.
        z: (n, d_z) queries.
        dual: (C,) multipliers.
        diagonal: whether the constraints are those of W = diag(beta).
    """
    used = [
        c for c in np.flatnonzero(dual).tolist() if not _is_zero(constraints[c], z, diagonal) or constraints[c].level
    ]
    rows = [constraints[c] for c in used]
    if not any(row.level for row in rows):
        return None
    for row in rows:
        if _is_zero(row, z, diagonal):
            return sentences.LEVEL.format(token=row.token, sample=row.sample)
    weights = dual[used]
    left = dual_matrix(rows, z, weights, diagonal)
    if left is None:
        return "the multipliers cancel exactly"
    one = not diagonal and len({row.sample for row in rows}) == 1
    equations = len(rows[0].a.whole) if one else left.whole.size
    shown = _written_out(rows, z, weights, diagonal, one) if len(rows) * equations <= _WRITTEN else None
    return shown or (_NEXT_TO_THESE if spanned(rows, z, weights, diagonal, left) else None)


def _written_out(rows: Sequence[Row], z: Floats, weights: Floats, diagonal: bool, one: bool) -> str | None:
    """The same from the equations written out in integers; of `one` sample those of the tokens alone."""
    M = _scaled(rows, z, diagonal, one)
    exact = [Fraction(w) / Fraction(2) ** power for w, power in zip(weights.tolist(), M.powers, strict=True)]
    if not any(_times(M.whole, _on_one_scale(exact))):
        return "the multipliers cancel exactly"
    if len(rows) <= _COLUMNS and M.whole.shape[0] <= _ROWS and _solved(M.whole, exact, rows):
        return "exact multipliers follow from these by rational arithmetic"
    return _NEXT_TO_THESE if _nearby(M.whole, exact, rows) else None


def _is_zero(row: Row, z: Floats, diagonal: bool) -> bool:
    query = Exact.of(z[row.sample])
    return (row.a * query).is_zero() if diagonal else row.a.is_zero() or query.is_zero()


class _Columns:
    """Integer columns, column c being the constraint times 2**powers[c], and lambda_c divided by it."""

    def __init__(self, whole: Whole, powers: list[int]) -> None:
        self.whole, self.powers = whole, powers


def _scaled(rows: Sequence[Row], z: Floats, diagonal: bool, one: bool) -> _Columns:
    columns, powers = [], []
    for row in rows:
        a, query = row.a, Exact.of(z[row.sample])
        if one:
            product, power = a.whole, a.power
        elif diagonal:
            product, power = a.whole * query.whole, a.power + query.power
        else:
            product, power = np.multiply.outer(a.whole, query.whole).ravel(), a.power + query.power
        shared = min((int(v) & -int(v)).bit_length() - 1 for v in product if v)
        columns.append(np.asarray([int(v) >> shared for v in product], dtype=object))
        powers.append(-(power + shared))
    M = np.stack(columns, axis=1)
    return _Columns(M[np.array([bool(row.any()) for row in M])], powers)


def _on_one_scale(values: Sequence[Fraction]) -> Whole:
    """Integers in the ratio of `values`, whose denominators are powers of two."""
    common = max(value.denominator for value in values)
    return np.array([int(value * common) for value in values], dtype=object)


def _times(M: Whole, weights: Whole) -> list[Any]:
    product: list[Any] = (M @ weights).tolist()
    return product


def _solved(M: Whole, weights: Sequence[Fraction], rows: Sequence[Row] | None = None) -> bool:
    """Whether the multipliers of some columns, solved for with the others as they are, are as they should be."""
    free = [row.equal for row in rows or ()] or [False] * len(weights)
    leads = [row.level == 1 for row in rows or ()] or [True] * len(weights)
    order = sorted(range(len(weights)), key=lambda c: (not free[c], -abs(weights[c])))
    heads: list[tuple[int, list[int]]] = []  # pivot column and its row, integers
    for row in M.tolist():
        for pivot, head in heads:
            if row[pivot]:
                row = [head[pivot] * x - row[pivot] * h for x, h in zip(row, head, strict=True)]
                row = _reduced(row)
        pivot = next((c for c in order if row[c] and all(c != p for p, _ in heads)), -1)
        if pivot >= 0:
            heads = [
                (p, _reduced([row[pivot] * x - head[pivot] * r for x, r in zip(head, row, strict=True)]))
                if head[pivot]
                else (p, head)
                for p, head in heads
            ]
            heads.append((pivot, row))
    values = list(weights)
    solved = {p for p, _ in heads}
    for pivot, head in heads:
        rest = sum((head[c] * values[c] for c in range(len(values)) if head[c] and c not in solved), Fraction(0))
        values[pivot] = -rest / head[pivot]
    if any(value < 0 for value, any_sign in zip(values, free, strict=True) if not any_sign):
        return False
    if not any(value for value, lead in zip(values, leads, strict=True) if lead):
        return False
    return not any(sum((x * v for x, v in zip(row, values, strict=True)), Fraction(0)) for row in M.tolist())


def _reduced(row: list[int]) -> list[int]:
    divisor = 0
    for x in row:
        divisor = gcd(divisor, x)
        if divisor == 1:
            return row
    return [x // divisor for x in row] if divisor else row


def _nearby(M: Whole, weights: Sequence[Fraction], kinds: Sequence[Row] | None = None) -> bool:
    """Whether M (lambda + d) = 0 has a solution with |d_c| < lambda_c but for equalities, in exact arithmetic.

    For any X with alpha = |I - M X|_inf < 1, d = -X (M X)^-1 M lambda solves it, and
    |d_c| <= sum_k |X_ck| |M lambda|_inf / (1 - alpha). Rows and columns are scaled by powers of two first.
    """
    rows, columns = M.shape
    if columns <= rows or rows * rows * columns > _PRODUCTS:
        return False
    column_bits = np.array([max(abs(int(v)) for v in column).bit_length() for column in M.T])
    scaled = np.array([[Fraction(int(v), 1 << int(b)) for v, b in zip(row, column_bits, strict=True)] for row in M])
    values = [w * (1 << int(b)) for w, b in zip(weights, column_bits, strict=True)]
    X = np.linalg.pinv(scaled.astype(np.float64))
    if not np.isfinite(X).all():
        return False
    # Everything on integers: scaled = whole / 2**bits, X = guess * 2**power.
    bits = int(column_bits.max())
    whole = np.array(
        [[int(v) << (bits - int(b)) for v, b in zip(row, column_bits, strict=True)] for row in M], dtype=object
    )
    guess = Exact.of(X)
    product = whole @ guess.whole
    unit = Fraction(2) ** (guess.power - bits)
    alpha = Fraction(0)
    for k in range(rows):
        off = sum((abs(int(v)) for j, v in enumerate(product[k]) if j != k), 0) * unit
        alpha = max(alpha, off + abs(1 - int(product[k, k]) * unit))
    if alpha >= 1:
        return False
    lam = _on_one_scale(values)
    common = max(value.denominator for value in values)
    residual = max((abs(int(v)) for v in _times(whole, lam)), default=0) * Fraction(1, common << bits)
    reach = np.abs(guess.whole).sum(axis=1)
    factor = Fraction(2) ** guess.power * residual / (1 - alpha)
    free = [row.equal for row in kinds or ()] or [False] * len(weights)
    return all(any_sign or int(r) * factor < value for r, value, any_sign in zip(reach, values, free, strict=True))


_NEXT_TO_THESE: Final = "exact multipliers exist next to these"

_WRITTEN: Final = 2_000_000
"""Most integers written out."""

_COLUMNS: Final = 64
"""Most multipliers solved for in rational numbers."""

_ROWS: Final = 5000
"""Most equations for it."""

_PRODUCTS: Final = 60_000_000
"""Most exact products of one inverse."""

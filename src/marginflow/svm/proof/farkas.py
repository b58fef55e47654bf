"""Proofs that no weights separate: lambda >= 0, not all zero, with sum_c lambda_c A_c = 0 exactly.

Float multipliers satisfy that up to rounding, which excludes only W of moderate norm. Two ways lead on to a
theorem about the constraints as stored (docs/svm.md): solve for the multipliers in rational numbers, or show
that exact ones exist near the float ones because the rows span the whole space.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from scipy.linalg import qr

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.svm.program import Svm


@dataclass(frozen=True, eq=False)
class Farkas:
    """A proof of infeasibility: multipliers (C,) >= 0 of sum 1, and the sentence that says what they show."""

    multipliers: Floats
    sentence: str


def prove(svm: Svm, ray: Floats) -> Farkas | None:
    """Turn a candidate `ray` (C,) into a proof, or return None: the data may then still be feasible."""
    ray = np.where(np.isfinite(ray) & (ray > 0.0), ray, 0.0)
    if not ray.any():
        return None
    ray = ray / ray.sum()
    for support, M in _systems(svm, ray):
        weights = ray[support] / ray[support].sum()
        # Few constraints: rational arithmetic is quick. Many: the cheap proof first.
        if len(support) > _QUICK and _near(M, weights):
            return _farkas(len(svm), support, weights, "up to rounding, and exactly for multipliers next to these")
        exact = _rational(M, weights)
        if exact is not None:
            return _farkas(len(svm), support, exact, "exactly, in rational arithmetic")
    return None


def _farkas(count: int, support: Ints, weights: Floats, how: str) -> Farkas:
    multipliers = np.zeros(count)
    multipliers[support] = weights / weights.sum()
    return Farkas(
        multipliers,
        f"{len(support)} constraints contradict each other: positive multiples of them add up to zero {how}",
    )


def _systems(svm: Svm, ray: Floats) -> list[tuple[Ints, list[Floats]]]:
    """The equations to satisfy, as pairs (support, factors of M): M lambda = 0, cheapest first.

    A contradiction inside one sample needs only sum lambda_c a_c = 0 there: d equations instead of d d_z.
    """
    constraints = svm.constraints
    length = np.abs(constraints.a).sum(axis=1)
    found: list[tuple[Ints, list[Floats]]] = []
    if not svm.diagonal:
        for i in np.unique(constraints.sample[ray > 0.0]):
            inside = np.flatnonzero((constraints.sample == i) & (ray > 0.0))
            weights = ray[inside]
            left = np.abs(weights @ constraints.a[inside]).sum()
            if left <= 1e-7 * float(weights @ length[inside]):
                found.append((inside, [constraints.a[inside].T]))
    support = np.flatnonzero(ray > 1e-12 * ray.max())
    a, z = constraints.a[support], constraints.queries[support]
    if svm.diagonal:
        found.append((support, [a.T, z.T]))
    elif len(support) * a.shape[1] * z.shape[1] <= _ENTRIES:
        left = np.repeat(a.T, z.shape[1], axis=0)
        found.append((support, [left, np.tile(z.T, (a.shape[1], 1))]))
    return found


def _rational(factors: list[Floats], weights: Floats) -> Floats | None:
    """Exact multipliers near `weights`: pivot entries solved for, the others kept; rounded for the reader."""
    M = np.prod(factors, axis=0)
    scale = np.abs(M).max(axis=0)
    if not scale.all() or M.shape[1] > _COLUMNS:
        return None
    # Columns by size times weight, so that the entries solved for are the ones that may move.
    _, T, order = qr(M * weights, mode="economic", pivoting=True)
    diagonal = np.abs(T.diagonal())
    rank = int((diagonal > 1e-10 * diagonal[0]).sum())
    columns = np.sort(order[:rank])
    _, _, rows = qr((M[:, columns] / scale[columns]).T, mode="economic", pivoting=True)
    rows = rows[:rank]
    free = np.setdiff1d(np.arange(M.shape[1]), columns)
    if len(free) == 0:
        return None
    exact = [[Fraction(float(x)) for x in row] for row in factors[0]]
    for factor in factors[1:]:
        exact = [
            [x * Fraction(float(y)) for x, y in zip(left, right, strict=True)]
            for left, right in zip(exact, factor, strict=True)
        ]
    values = [Fraction(0)] * M.shape[1]
    for j in free:
        values[j] = Fraction(float(weights[j]))
    matrix = [[exact[i][j] for j in columns] for i in rows]
    right = [-sum((exact[i][j] * values[j] for j in free), Fraction(0)) for i in rows]
    solved = solve_rational(matrix, right)
    if solved is None:
        return None
    for j, value in zip(columns, solved, strict=True):
        values[j] = value
    if min(values) < 0 or not any(values):
        return None
    if any(sum((x * y for x, y in zip(row, values, strict=True)), Fraction(0)) for row in exact):
        return None
    return np.array([float(value) for value in values])


def solve_rational(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """Solve a square system in rational numbers by fraction-free elimination (Bareiss 1968)."""
    size = len(matrix)
    rows: list[list[int]] = []
    for row, value in zip(matrix, right, strict=True):
        common = 1
        for x in (*row, value):
            # Denominators of float64 numbers are powers of two: the largest is a common one.
            common = max(common, x.denominator)
        rows.append([int(x * common) for x in (*row, value)])
    previous = 1
    for k in range(size):
        pivot = next((i for i in range(k, size) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        head = rows[k]
        for i in range(k + 1, size):
            below, first = rows[i], rows[i][k]
            rows[i] = [0] * (k + 1) + [
                (head[k] * below[j] - first * head[j]) // previous for j in range(k + 1, size + 1)
            ]
        previous = head[k]
    solution = [Fraction(0)] * size
    for k in reversed(range(size)):
        known = sum((rows[k][j] * solution[j] for j in range(k + 1, size)), Fraction(0))
        solution[k] = (rows[k][size] - known) / rows[k][k]
    return solution


def _near(factors: list[Floats], weights: Floats) -> bool:
    """Whether M lambda = 0 has a solution within `weights` of `weights`, shown with all rounding bounded.

    With X near the pseudo-inverse of M and alpha = |I - M X|_inf < 1, the correction d = -X (M X)^-1 M lambda
    makes lambda + d exact, and |d_c| <= sum_k |X_ck| |M lambda|_inf / (1 - alpha).
    """
    M = np.prod(factors, axis=0)
    rows, columns = M.shape
    if columns <= rows or M.size > _ENTRIES or not M.any():
        return False
    M = M / np.abs(M).max()
    X = np.linalg.pinv(M)
    # One rounding for the product in M, one for its scaling, one for a itself being a rounded difference.
    unit = rounding.gamma(columns + 6)
    slip = np.abs(np.eye(rows) - M @ X) + unit * (np.abs(M) @ np.abs(X) + 1.0)
    alpha = rounding.up(float(slip.sum(axis=1).max()), rows)
    if not alpha < 0.5:
        return False
    residual = np.abs(M @ weights) + unit * (np.abs(M) @ weights) + rounding.TINY
    shift = np.abs(X).sum(axis=1) * (rounding.up(float(residual.max()), columns + 4) / (1.0 - alpha))
    return bool((shift * (1.0 + rounding.gamma(rows + 8)) < weights).all())


_QUICK: Final = 16

_COLUMNS: Final = 64
"""Most constraints combined in rational arithmetic; elimination on more would take seconds."""

_ENTRIES: Final = 2_000_000

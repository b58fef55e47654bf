"""Margins and dual matrices in rational arithmetic, for small problems with nearly contradicting data.

Where terms of size one cancel down to 1e-9, rounding bounds of the float64 sums are all that is left of a
certificate. Rational sums cost microseconds per term and lose nothing.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.problem.exact_differences import ExactDifferences
from marginflow.problem.problem import Problem
from marginflow.svm.program import Svm


LARGEST: Final = 20_000
"""Most terms worth summing this way."""

Rows = Sequence[Sequence[Fraction]]


def affordable(svm: Svm) -> bool:
    """Whether margins and dual matrix have few enough terms."""
    if svm.constraints.stored is not None:
        return False  # neither they nor their rounding are in memory
    d, d_z = svm.constraints.shape
    return len(svm) * d + (0 if svm.diagonal else len(svm.constraints.z) * d * d_z) <= LARGEST


def tokens_of(problem: Problem | None, selection: Ints | None) -> ExactDifferences | None:
    """Where rational proofs find the differences x_selected - x_l; None where constraints were given as they are, and
    where the tokens are not in memory.
    """
    if problem is None or selection is None or problem.stored is not None:
        return None
    return ExactDifferences(problem.X, selection)


def margins_down(svm: Svm, W: Floats) -> Floats:
    """(C,) the exact margins of the weights `W`, rounded down."""
    constraints = svm.constraints
    a, z, weights = differences(constraints.a, svm.slip), to_rational(constraints.z), to_rational(W)
    if W.ndim == 1:
        pulled = [[x * w for x, w in zip(query, weights[0], strict=True)] for query in z]
    else:
        pulled = [[_dot(row, query) for row in weights] for query in z]
    exact = (_dot(row, pulled[i]) for row, i in zip(a, constraints.sample.tolist(), strict=True))
    return np.array([np.nextafter(float(m), -np.inf) for m in exact])


def dual_matrix(svm: Svm, dual: Floats) -> tuple[Floats, Floats]:
    """The dual matrix rounded to float64, and a bound of that last rounding."""
    constraints = svm.constraints
    d, d_z = constraints.shape
    support = np.flatnonzero(dual)
    part = None if svm.slip is None else svm.slip[support]
    a, z = differences(constraints.a[support], part), to_rational(constraints.z)
    pulled: dict[int, list[Fraction]] = {}
    for row, c in zip(a, support.tolist(), strict=True):
        i, weight = int(constraints.sample[c]), Fraction(float(dual[c]))
        total = pulled.setdefault(i, [Fraction(0)] * d)
        for j, x in enumerate(row):
            total[j] += weight * x
    if svm.diagonal:
        exact = [sum((row[j] * z[i][j] for i, row in pulled.items()), Fraction(0)) for j in range(d)]
        M = np.array([float(x) for x in exact])
    else:
        M = np.array(
            [
                [float(sum((row[j] * z[i][k] for i, row in pulled.items()), Fraction(0))) for k in range(d_z)]
                for j in range(d)
            ]
        )
    return M, np.abs(M) * (2 * rounding.U) + rounding.TINY


def rows(svm: Svm, chosen: Ints | slice = slice(None)) -> list[list[Fraction]]:
    """(C, D) the constraints written out, exactly: a_c z_c' row by row, or a_c o z_c for diagonal weights."""
    part = None if svm.slip is None else svm.slip[chosen]
    pairs = zip(differences(svm.constraints.a[chosen], part), to_rational(svm.constraints.queries[chosen]), strict=True)
    if svm.diagonal:
        return [[x * y for x, y in zip(p, q, strict=True)] for p, q in pairs]
    return [[x * y for x in p for y in q] for p, q in pairs]


def differences(a: Floats, slip: Floats | None) -> Rows:
    """(C, d) the rows a + slip, exactly."""
    rows = to_rational(a)
    if slip is None:
        return rows
    return [
        [x + e for x, e in zip(row, extra, strict=True)] for row, extra in zip(rows, to_rational(slip), strict=True)
    ]


def to_rational(x: Floats) -> Rows:
    """The rows of `x`, exactly; a vector is one row."""
    return [[Fraction(value) for value in row] for row in np.atleast_2d(x).tolist()]


def _dot(x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(x, y, strict=True)), Fraction(0))

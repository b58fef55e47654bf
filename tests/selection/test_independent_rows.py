"""Independent rows and combinations of them, against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from marginflow.norms import Frobenius, Lp
from marginflow.problem.constraints import Constraints
from marginflow.selection.independent_rows import IndependentRows, lengths_up, margins_up_and_down
from marginflow.svm.program import Svm
from marginflow.svm.proof.elimination import solve_rational


def rows_of(a, z, norm=None):
    """Row c is a_c z_c'."""
    return Svm(Constraints(a, np.arange(len(a)), z), norm or Frobenius())


def written(svm):
    """The rows entry by entry, as rational numbers."""
    return [[Fraction(x) for x in row] for row in svm.constraints.vectors(svm.diagonal).tolist()]


def exact(svm, r):
    """y with <A_c, sum y A> = r_c, and the sum."""
    rows = [[Fraction(float(a)) * Fraction(float(z)) for a in p for z in q] for p, q in factors(svm)]
    if svm.diagonal:
        rows = [[Fraction(float(a)) * Fraction(float(z)) for a, z in zip(p, q, strict=True)] for p, q in factors(svm)]
    gram = [[sum(x * y for x, y in zip(p, q, strict=True)) for q in rows] for p in rows]
    y = solve_rational(gram, [Fraction(float(x)) for x in r])
    return y, [sum(c * row[k] for c, row in zip(y, rows, strict=True)) for k in range(len(rows[0]))]


def factors(svm):
    return zip(svm.constraints.a, svm.constraints.queries, strict=True)


def distance(x, y):
    return float(sum((Fraction(float(p)) - q) ** 2 for p, q in zip(np.ravel(x), y, strict=True))) ** 0.5


@pytest.fixture(params=[Frobenius(), Lp(2.0)], ids=["w", "diag"])
def svm(request):
    draw = np.random.default_rng(5)
    return rows_of(draw.standard_normal((4, 5)), draw.standard_normal((4, 5)), request.param)


def test_the_least_eigenvalue_is_a_bound_and_no_loose_one(svm):
    rows = svm.constraints.vectors(svm.diagonal)
    least = float(np.linalg.eigvalsh(rows @ rows.T)[0])
    assert 0.3 * least < IndependentRows.of(svm).least <= least


@pytest.mark.parametrize("apart", [0.0, 1e-9, 3e-7])
def test_rows_that_rounding_cannot_tell_from_dependent_ones_are_not_called_independent(apart):
    """3e-7 apart the least eigenvalue is 4e-14, of which half and the rounding of G, 8e-14, is more than there is."""
    a = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + apart], [0.0, 1.0, 0.0]])
    assert IndependentRows.of(rows_of(a, np.ones((3, 1)))) is None
    a[1, 2] += 1e-3
    assert IndependentRows.of(rows_of(a, np.ones((3, 1)))).least > 1e-8


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_exact_combinations_lie_within_what_is_said(svm, width):
    rows, r = IndependentRows.of(svm), np.array([1.0, -2.0, 3.0, 0.5])
    corners = [r + width * np.array(sign) for sign in np.ndindex(2, 2, 2, 2)] if width else [r]
    found = rows.solve(r, r + width)
    off, away = np.transpose([[distance(x, y) for x, y in pairs(found, exact(svm, r))] for r in corners]).max(axis=1)
    assert off <= found.off and away <= found.away
    assert found.size >= float(np.linalg.norm(found.weights)) + away
    if width:
        # As wide as the interval: half of it in every equation, over the square root of the least eigenvalue.
        assert found.away <= 1.01 * width / rows.least**0.5
    else:
        assert max(found.off, found.away) < 1e-11


def pairs(found, solution):
    return zip((found.dual, found.weights), solution, strict=True)


def test_margins_hold_at_all_weights_so_far_away(svm):
    weights = np.arange(1.0, 1.0 + np.prod(svm.shape)).reshape(svm.shape)
    low, high = margins_up_and_down(svm, weights, 0.25)
    vectors = svm.constraints.vectors(svm.diagonal)
    for row, length, bounds in zip(vectors, lengths_up(svm), zip(low, high, strict=True), strict=True):
        middle = float(row @ weights.ravel())
        assert bounds[0] <= middle - 0.25 * length * (1 - 1e-12) and bounds[1] >= middle + 0.25 * length * (1 - 1e-12)
        assert bounds[0] >= middle - 0.2501 * length and length >= np.linalg.norm(row)

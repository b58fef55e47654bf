"""Infeasibility of many rows: exact multipliers next to those found, and nothing of the kind where weights separate."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.norms import Frobenius, parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof import farkas, full_rank, status
from marginflow.svm.proof.elimination import solve_rational
from marginflow.svm.proof.full_rank import _gram, exact_ones_near
from marginflow.svm.referee.bounds import dual_matrix
from marginflow.svm.referee.contradiction import contradiction
from marginflow.svm.referee.exact import Exact
from marginflow.svm.referee.full_rank import spanned
from marginflow.svm.referee.rows import Row
from marginflow.svm.referee.verify import verify_saved


def _rows(constraints):
    names = zip(constraints.sample.tolist(), constraints.token.tolist(), constraints.a, strict=True)
    return [Row(i, t, Exact.of(a)) for i, t, a in names]


@pytest.mark.parametrize("norm", ["nuclear", "l2"])
def test_what_is_shown_is_there(norm):
    """The correction written down in rational numbers: the sum vanishes exactly, and no multiplier is negative."""
    constraints = bank.sphere(200, 4, 3).constraints()
    svm = Svm(constraints, parse_norm(norm))
    written = bank.written_out(constraints, svm.diagonal)
    dual = 1.0 - np.linalg.pinv(written.T) @ written.sum(axis=0)  # cancels up to rounding
    assert dual.min() > 0.0 and np.abs(dual @ written).max() > 0.0
    assert exact_ones_near(svm, dual)
    M = [[Fraction(x) for x in row] for row in bank.written_out(constraints, svm.diagonal).T.tolist()]
    weights = [Fraction(x) for x in dual.tolist()]
    left = [sum(x * w for x, w in zip(row, weights, strict=True)) for row in M]
    gram = [[sum(x * y for x, y in zip(p, q, strict=True)) for q in M] for p in M]
    solved = solve_rational(gram, left)
    assert solved is not None
    exact = [w - sum(y * row[c] for y, row in zip(solved, M, strict=True)) for c, w in enumerate(weights)]
    assert min(exact) >= 0
    assert not any(sum(x * w for x, w in zip(row, exact, strict=True)) for row in M)


def _nearly(seed, tilt):
    """Fifty rows that nearly cancel, all of them on one side of a plane by `tilt`; weights that see that."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    plane = rng.standard_normal((25, 2))
    rows = np.hstack((np.vstack((plane, -plane)), np.full((50, 1), tilt))) @ basis
    return mf.Constraints(rows, np.zeros(50, dtype=int), np.ones((1, 1))), basis[2]


@pytest.mark.parametrize("tilt", [1e-3, 1e-6, 1e-9, 1e-12, 1e-13])
def test_nothing_is_shown_where_weights_separate(tilt):
    for seed in range(10):
        constraints, normal = _nearly(seed, tilt)
        pairs = [
            [Fraction(x) * Fraction(w) for x, w in zip(row, normal.tolist(), strict=True)]
            for row in constraints.a.tolist()
        ]
        assert all(sum(row) > 0 for row in pairs)
        for size in (1.0, 1e-6):
            assert not exact_ones_near(Svm(constraints, Frobenius()), np.full(50, size))
        assert contradiction(_rows(constraints), constraints.z, np.ones(50), False) is None


@pytest.mark.parametrize("shape", [(1, 30), (7, 20), (60, 20)])
def test_the_gram_matrix_of_pairs_is_that_of_the_rows(shape):
    """Queries of none, one or many constraints, against the rows written out."""
    n, d = shape
    rng = np.random.default_rng(n)
    sample = np.sort((n * rng.random(100) ** 2).astype(int))
    rows = Svm(mf.Constraints(rng.standard_normal((100, d)), sample, rng.standard_normal((n, 55))), Frobenius()).rows
    assert rows.dense is None
    gram, trace = _gram(rows)
    written = rows.structured.written_out()
    expected = written.T @ written
    np.testing.assert_allclose(np.tril(gram), np.tril(expected), atol=1e-13, rtol=0.0)
    exact = math.fsum((written * written).ravel())
    assert exact * (1.0 - 1e-12) <= trace <= exact * (1.0 + 1e-12)


@pytest.mark.parametrize(("d", "d_z"), [(400, 1), (1, 400)])
def test_a_gram_matrix_of_long_vectors_takes_the_memory_of_the_rows(d, d_z):
    """Pairs of entries of the long factor would take 290 MB here, the rows 1.4 MB and their Gram matrix 1.3."""
    rng = np.random.default_rng(0)
    constraints = mf.Constraints(rng.standard_normal((450, d)), np.arange(450), rng.standard_normal((450, d_z)))
    rows = Svm(constraints, Frobenius()).rows
    assert rows.dense is None and len(rows) == 450
    tracemalloc.start()
    gram, trace = _gram(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    written = rows.structured.written_out()
    np.testing.assert_allclose(np.tril(gram), np.tril(written.T @ written), atol=1e-13, rtol=0.0)
    exact = math.fsum((written * written).ravel())
    assert exact <= trace <= exact * (1.0 + 1e-10) and peak < 20e6


def test_equalities_alone_show_nothing():
    constraints, _ = _nearly(0, 1e-9)
    equal = mf.Constraints(constraints.a, constraints.sample, constraints.z, equal=np.ones(50, dtype=bool))
    assert not exact_ones_near(Svm(equal, Frobenius()), np.ones(50))


@pytest.mark.parametrize("least", [1e-200, 1e-320])
def test_multipliers_of_any_size_get_an_answer(least):
    """A solver's noise and a file may hold any: squares of such ratios are beyond float64."""
    constraints = bank.sphere(30, 4, 3).constraints()
    dual = np.where(np.arange(len(constraints)) < 3, 1.0, least)
    assert farkas.prove(Svm(constraints, parse_norm("nuclear")), dual) is None
    assert not exact_ones_near(Svm(constraints, parse_norm("l2")), dual)
    assert not _spanned(constraints, dual)


def test_the_verifier_shows_nothing_of_subnormal_products():
    """Their entries have lost their digits, so that six roundings do not cover them."""
    constraints = bank.sphere(200, 4, 3).constraints()
    written = bank.written_out(constraints, False)
    dual = 1.0 - np.linalg.pinv(written.T) @ written.sum(axis=0)
    assert dual.min() > 0.0
    assert _spanned(constraints, dual) and _spanned(constraints, dual, -400)
    assert not _spanned(constraints, dual, -510)


def _spanned(constraints, dual, power=0):
    """What the verifier says of tokens and queries times 2**power."""
    names = zip(constraints.sample.tolist(), constraints.token.tolist(), constraints.a, strict=True)
    rows = [Row(i, t, Exact.of(np.ldexp(row, power))) for i, t, row in names]
    z = np.ldexp(constraints.z, power)
    return spanned(rows, z, dual, False, dual_matrix(rows, z, dual, False))


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_thousands_of_contradicting_rows_are_proved_so(norm, tmp_path):
    """More entries than the equations may have: 8,100 rows of 16 x 16 weights."""
    constraints = bank.sphere(900, 10, 16).constraints()
    assert len(constraints) * 16**2 > farkas._ENTRIES
    solution = mf.solve(constraints, norm)
    assert solution.status.name == "infeasible"
    assert sum(solution.iterations.values()) <= 600
    if norm == "nuclear":
        solution.save(tmp_path / "s.npz")
        assert verify_saved(tmp_path / "s.npz").holds
        assert mf.Solution.load(tmp_path / "s.npz").reason == solution.reason


def test_more_weights_than_a_gram_matrix_takes_get_their_bound_at_once(monkeypatch):
    """What the sentence says is all there is to find: no other search follows."""
    monkeypatch.setattr(full_rank, "LARGEST", 60)
    monkeypatch.setattr(farkas, "_ENTRIES", 0)
    monkeypatch.setattr(status, "separability_of", _no_search)
    rng = np.random.default_rng(0)
    a, z = rng.standard_normal((16_000, 8)), rng.standard_normal((2_000, 8))
    solution = mf.solve(mf.Constraints(a, np.repeat(np.arange(2_000), 8), z), "frobenius")
    assert solution.status.name == "inaccurate" and solution.certificate.lower > 1e10
    assert "none has norm below" in solution.reason


def _no_search(svm):
    raise AssertionError("another search")

"""Guards of the proofs that no weights separate: each stands between a poor tool and a false proof."""

from fractions import Fraction

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow import rounding
from marginflow.norms import Frobenius, parse_norm
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.proof import farkas, separable, simplex, status


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("twice", [True, False])
def test_separable_rows_prove_nothing(seed, twice):
    """Thirty positive rows; where two coordinates are always equal their equations have no inverse."""
    x = np.random.default_rng(seed).random((30, 2)) + 0.1
    x[:, 1] = x[:, 0] if twice else x[:, 1]
    svm = Svm(mf.Constraints(x, np.arange(30), np.ones((30, 1))), Frobenius())
    for ray in (np.ones(30), np.arange(1.0, 31.0)):
        assert farkas.prove(svm, ray) is None


@pytest.mark.parametrize("spoilt", [0.0, -1.0, 0.5, 0.9, 1.0, 1.1, 1.5, 3.0, 1e3])
def test_a_wrong_inverse_proves_nothing(monkeypatch, spoilt):
    """The inverse only guesses; |I - M X| says whether it helps."""
    inverse = np.linalg.pinv
    monkeypatch.setattr(np.linalg, "pinv", lambda A: spoilt * inverse(A))
    for M in (np.ones((1, 3)), np.array([[1.0, 1, -1], [1, 1, 2]])):
        assert not farkas._near([M], np.ones(3) / 3)


def _cancels(svm, multipliers):
    columns = bank.written_out(svm.constraints, svm.diagonal).T.tolist()
    return not any(sum(w * Fraction(x) for w, x in zip(multipliers, column, strict=True)) for column in columns)


def _whole_rows(seed):
    """Small whole numbers, so that the products are exact: some of these contradict each other, some do not."""
    draw = np.random.default_rng(seed)
    a = draw.integers(-2, 3, (7, 3)).astype(float)
    a[~a.any(axis=1)] = 1.0
    return Svm(mf.Constraints(a, [0, 0, 0, 1, 1, 1, 1], draw.integers(1, 3, (2, 2)).astype(float)), Frobenius())


def test_rational_answers_hold_in_rational_numbers():
    seen = set()
    for seed in range(40):
        svm = _whole_rows(seed)
        found = simplex.decide(svm, np.random.default_rng(seed).random(7))
        seen.add(found.multipliers is None)
        if found.multipliers is not None:
            assert min(found.multipliers) >= 0 and sum(found.multipliers) == 1
            assert _cancels(svm, found.multipliers)
        else:
            rows = bank.written_out(svm.constraints, False).tolist()
            assert all(sum(w * Fraction(x) for w, x in zip(found.weights, row, strict=True)) > 0 for row in rows)
    assert seen == {True, False}


@pytest.mark.parametrize("kept", [[0], [5], [0, 1], [0, 3, 5]])
def test_a_sketch_that_loses_a_dimension_proves_nothing(monkeypatch, kept):
    """Fewer equations are easier to satisfy: what they allow must satisfy all."""
    monkeypatch.setattr(simplex, "_sketch", lambda M: np.eye(6, dtype=int)[kept].astype(object))
    lost = 0
    for seed in range(20):
        svm = _whole_rows(seed)
        found = simplex.decide(svm, np.ones(7))
        lost += found is None
        assert found is None or found.multipliers is None or _cancels(svm, found.multipliers)
    assert lost > 0


def _shy(prove):
    """A search for proofs that never finds again what it found: it fails on its own multipliers."""

    def search(svm, ray):
        found = prove(svm, ray)
        if found is None or not ray.any():
            return None
        scaled = np.ldexp(found.multipliers, -rounding.exponent(found.multipliers))
        return None if np.array_equal(scaled, np.ldexp(ray, -rounding.exponent(ray))) else found

    return search


@pytest.mark.parametrize("search", [lambda prove: prove, _shy], ids=["as it is", "shy"])
@pytest.mark.parametrize("norm", ["nuclear", "operator", "frobenius"])
def test_what_is_said_of_a_contradiction_is_said_of_its_file(monkeypatch, search, norm):
    """Status and sentence follow from the arrays returned, also where a proof does not lead to itself again."""
    monkeypatch.setattr(status, "prove", search(status.prove))
    constraints = mf.Constraints([[1.0, 2], [3, -1], [-2, -1]], [0, 0, 0], [[1.0]])
    svm = Svm(constraints, parse_norm(norm))
    for ray in (np.array([5.0, 3.0, 7.0]), np.array([5.1, 3.0, 7.0]), np.ones(3)):
        found = status.answer(svm, 1e-9, Candidate(np.zeros(svm.shape), ray, ray))
        again = status.read(svm, 1e-9, found.certified.W, found.certified.dual)
        assert (again.status, again.reason) == (found.status, found.reason)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_weights_that_exist_are_found_when_the_solver_finds_none(norm):
    svm = Svm(bank.sphere(2, 3, 6, 4).constraints(), parse_norm(norm))
    nothing = status.answer(svm, 1e-9, Candidate(np.zeros(svm.shape), np.zeros(len(svm))))
    assert nothing.certified.certificate.upper < np.inf
    assert svm.margins(nothing.certified.W).min() > 0.0


@pytest.mark.parametrize("power", [0, -12, -27, -40])
def test_small_columns_count_in_the_linear_programs(power):
    """Rows (+-1, delta) are separated by the second coordinate alone; with (+-1, -3 delta) they contradict."""
    delta = 2.0**power
    rows = [[1.0, delta], [-1.0, delta]]
    svm = Svm(mf.Constraints(rows, [0, 0], [[1.0]]), Frobenius())
    assert svm.margins(separable._widest(svm).reshape(svm.shape)).min() > 0.0
    rows += [[1.0, -3.0 * delta], [-1.0, -3.0 * delta]]
    svm = Svm(mf.Constraints(rows, [0] * 4, [[1.0]]), Frobenius())
    multipliers = separable._vertex(svm)
    assert multipliers.min() >= 0.0
    left, size = np.abs(multipliers @ svm.constraints.a), multipliers @ np.abs(svm.constraints.a)
    assert (left <= 1e-6 * size).all() and size.all()

"""Separability: weights with positive margins, or multipliers whose combination vanishes."""

from fractions import Fraction

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.norms import Frobenius, Lp
from marginflow.svm.program import Svm
from marginflow.svm.proof.farkas import prove
from marginflow.svm.proof.separable import separability


def test_weights_or_multipliers_on_random_problems():
    seen = set()
    for seed in range(60):
        problem = bank.random_problem(seed)
        if problem is None:
            continue
        constraints = problem.constraints()
        for diagonal in (False, True):
            if diagonal and problem.d != problem.d_z:
                continue
            found = separability(constraints, diagonal)
            seen.add(found.separable)
            R = bank.written_out(constraints, diagonal)
            if found.separable:
                assert (R @ found.W.ravel()).min() > 0
                assert found.farkas is None
            else:
                assert found.separable is False, seed
                assert found.farkas.min() >= 0
                assert found.farkas.sum() == pytest.approx(1.0)
                left = np.abs(found.farkas @ R).max()
                assert left <= 1e-9 * (found.farkas @ np.abs(R)).max()
                assert found.W is None
            assert found.proof
    assert seen == {True, False}


def test_exact_multipliers_of_integer_data():
    constraints = mf.Constraints([[1.0, 2], [3, -1], [-2, -1]], [0, 0, 0], [[1.0]])
    found = separability(constraints)
    assert found.separable is False
    assert "exactly, in rational arithmetic" in found.proof
    # 1 (1,2) + 3 (3,-1) ... the multipliers are those of a 2 x 3 kernel, known in closed form.
    kernel = np.array([5.0, 3.0, 7.0])
    np.testing.assert_allclose(found.farkas, kernel / kernel.sum(), rtol=1e-14)
    exact = [5 * Fraction(1) + 3 * 3 - 7 * 2, 5 * 2 - 3 - 7]
    assert exact == [0, 0]


def test_a_contradiction_within_one_sample_of_many():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 30))
    a[7] = -a[5] * 0.5
    sample = np.repeat(np.arange(10), 4)
    constraints = mf.Constraints(a, sample, rng.standard_normal((10, 30)))
    found = separability(constraints)
    assert found.separable is False
    np.testing.assert_array_equal(np.flatnonzero(found.farkas), [5, 7])


def test_generic_contradictions_are_proved_by_perturbation():
    """More constraints than unknowns, none of them related: no small rational combination exists."""
    rng = np.random.default_rng(1)
    constraints = mf.Constraints(rng.standard_normal((400, 9)), np.arange(400) % 40, rng.standard_normal((40, 9)))
    found = separability(constraints)
    assert found.separable is False
    assert "next to these" in found.proof


@pytest.mark.parametrize("eps", [1e-3, 1e-8, 1e-13, 1e-30])
def test_nearly_contradicting_rows_are_never_called_so(eps):
    constraints = mf.Constraints([[1.0, 0], [-1, eps]], [0, 0], [[1.0]])
    assert prove(Svm(constraints, Frobenius()), np.ones(2)) is None
    assert separability(constraints).separable is not False


def test_wrong_candidates_prove_nothing():
    constraints = bank.sphere(3, 3, 6).constraints()
    for ray in (np.zeros(6), np.ones(6), np.full(6, np.nan), -np.ones(6), np.full(6, np.inf)):
        assert prove(Svm(constraints, Frobenius()), ray) is None
        assert prove(Svm(constraints, Lp(2.0)), ray) is None


def test_nothing_to_separate():
    empty = mf.Constraints(np.zeros((0, 3)), np.zeros(0, dtype=int), np.ones((2, 3)))
    assert separability(empty).separable is True
    with pytest.raises(mf.UndefinedError):
        separability(bank.sphere(2, 3, 4, d_z=3).constraints(), True)

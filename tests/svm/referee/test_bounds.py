"""The verifier's own bounds where its float64 tools are as bad as the theorems allow, or worse."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.svm.referee import bounds, contradiction, verify
from marginflow.svm.referee.exact import Exact


def _exact_norms(M):
    with mpmath.workdps(50):
        s = mpmath.svd_r(mpmath.matrix(M.tolist()), compute_uv=False)
        return max(s), mpmath.fsum(s)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lost", [20, 60])
@pytest.mark.parametrize("kind", ["operator", "nuclear"])
def test_the_verifiers_bound_holds_for_a_factorisation_as_bad_as_the_theorem_allows(monkeypatch, kind, lost, seed):
    """Singular values too small by some roundings, and a Cholesky that passes what is indefinite by its own error."""
    M = np.random.default_rng(seed).standard_normal((4, 5)) / 8
    svd, cholesky = np.linalg.svd, np.linalg.cholesky

    def small(A, **options):
        U, s, Vt = svd(A, **options)
        return U, s * (1 - lost * 2.0**-53), Vt

    def lenient(A):
        N = len(A)
        return cholesky(A + 0.9 * (N + 1) * 2.0**-53 * np.trace(A) * np.eye(N))

    operator, nuclear = _exact_norms(M)
    monkeypatch.setattr(np.linalg, "svd", small)
    monkeypatch.setattr(np.linalg, "cholesky", lenient)
    bound = bounds._spectral_up(Exact.of(M), kind)
    true = operator if kind == "operator" else nuclear
    with mpmath.workdps(50):
        assert mpmath.mpf(bound.numerator) / bound.denominator >= true


def _whole(rows):
    M = np.zeros((len(rows), len(rows[0])), dtype=object)
    M[:] = rows
    return M


_SEPARABLE = {
    # Weights give every column a positive sum, so no multipliers >= 0 cancel.
    "one row": [[1, 1, 1]],
    "one row twice": [[1, 2, 3], [1, 2, 3]],
    "one column against two": [[1, 1, -1], [1, 1, 2]],
    "rows in proportion": [[2, 1, 5, 1], [4, 2, 10, 2], [1, 1, 1, 1]],
}


@pytest.mark.parametrize("kind", _SEPARABLE)
@pytest.mark.parametrize("spoilt", [0.0, 1.0, -1.0, 3.0, 1e3, -1e-3])
def test_no_inverse_makes_separable_rows_contradict(monkeypatch, kind, spoilt):
    """Neither one of full rank, nor the pseudo-inverse of rows that depend, nor a wrong one."""
    M = _whole(_SEPARABLE[kind])
    inverse = np.linalg.pinv
    monkeypatch.setattr(np.linalg, "pinv", lambda A: spoilt * inverse(A))
    assert not contradiction._nearby(M, [Fraction(1)] * M.shape[1])
    assert not contradiction._nearby(M, [Fraction(1, 2**k) for k in range(M.shape[1])])


@pytest.mark.parametrize("kind", _SEPARABLE)
def test_no_rational_solve_makes_separable_rows_contradict(kind):
    M = _whole(_SEPARABLE[kind])
    for weights in ([1] * M.shape[1], list(range(1, M.shape[1] + 1)), list(range(M.shape[1], 0, -1))):
        assert not contradiction._solved(M, [Fraction(w) for w in weights])


@pytest.mark.parametrize("last", [Fraction(1, 10**6), Fraction(1, 2), Fraction(29, 10), Fraction(3), Fraction(10)])
def test_nearby_multipliers_must_stay_positive(last):
    """(1, -1, 1) and multipliers (1, 1, x): the nearest exact ones are x / 3 from each."""
    assert contradiction._nearby(_whole([[1, -1, 1]]), [Fraction(1), Fraction(1), last]) is bool(last < 3)


def test_rational_numbers_are_rounded_to_their_side_and_no_farther():
    draw = np.random.default_rng(0)
    for _ in range(200):
        above, below, power = (int(draw.integers(low, high)) for low, high in ((1, 10**15), (1, 10**15), (-90, 90)))
        x = Fraction(above, below) * Fraction(2) ** power
        up, down = bounds.float_up(x), bounds.float_down(x)
        assert Fraction(np.nextafter(up, 0.0)) < x <= Fraction(up)
        assert Fraction(down) <= x < Fraction(np.nextafter(down, np.inf))


@pytest.mark.parametrize("norm", bank.NORMS)
def test_the_interval_of_a_file_contains_a_value_that_float64_does_not(tmp_path, norm):
    """One constraint k W >= 1: the value is 1 / k."""
    for k in (3, 5, 7, 11, 49, 1001):
        mf.solve(mf.Constraints([[float(k)]], [0], [[1.0]]), norm).save(tmp_path / "a.npz")
        found = verify.verify_saved(tmp_path / "a.npz")
        assert found.holds, str(found)
        assert Fraction(found.lower) <= Fraction(1, k) <= Fraction(found.upper)

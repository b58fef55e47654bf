"""Each rounding guard against the exact value of what it guards: off by one guard, and a bound is on the wrong side."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow import rounding
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import dual_matrix, evaluate


def test_up_and_down_cover_their_roundings():
    u = Fraction(1, 2**53)
    for x in (1.0, 1.0 + 2**-52, 1.9, 2.0 - 2**-52, 3e-7):
        for k in (0, 1, 2, 7, 1000):
            assert Fraction(rounding.up(x, k)) >= Fraction(x) * (1 + u) ** k
            assert Fraction(rounding.down(x, k)) <= Fraction(x) * (1 - u) ** (k + 1)


def test_printed_numbers_are_on_their_side():
    for x in (1 / 3, 2 / 3, 0.1, 1e22, 123456789.123, 5e-324, 1.7e308):
        for digits in (1, 2, 6, 12, 15):
            assert Fraction(rounding.text_down(x, digits)) <= Fraction(x) <= Fraction(rounding.text_up(x, digits))
    assert rounding.text_down(0.5, 3) == rounding.text_up(0.5, 3) == "0.5"
    assert rounding.text_up(np.inf, 3) == "inf"


def _cancelling(seed):
    """Rows whose combination by `dual` is 1e-8 of them: float64 sums of it are wrong in the eighth digit."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((6, 4))
    dual = rng.random(7) + 0.1
    dual[-1] = 1.0
    a = np.vstack((a, -(dual[:6] @ a) + 1e-8 * rng.standard_normal(4)))
    return mf.Constraints(a, [0] * 7, rng.standard_normal((1, 4))), dual


@pytest.mark.parametrize(("norm", "dual_norm"), [("l1", max), ("linf", sum)])
def test_the_dual_matrix_carries_its_rounding(norm, dual_norm):
    wrong = 0
    for seed in range(40):
        constraints, dual = _cancelling(seed)
        svm = Svm(constraints, parse_norm(norm))
        entries = [
            abs(sum(Fraction(w) * Fraction(a) * Fraction(z) for w, a in zip(dual.tolist(), column, strict=True)))
            for column, z in zip(constraints.a.T.tolist(), constraints.z[0].tolist(), strict=True)
        ]
        exact = sum(map(Fraction, dual.tolist())) / dual_norm(entries)
        assert Fraction(evaluate(svm, np.zeros(4), dual).lower) <= exact
        wrong += Fraction(float(dual.sum()) / svm.norm.dual_value(svm.adjoint(dual))) > exact
    assert wrong >= 8  # without the guard that many bounds would be wrong


@pytest.mark.parametrize("norm", ["nuclear", "operator", "frobenius"])
def test_the_dual_matrix_of_matrices_carries_its_rounding(norm):
    """Of one sample it is u z', whose norms are all |u| |z|: squares are compared, in rational numbers."""
    wrong = 0
    for seed in range(40):
        constraints, dual = _cancelling(seed)
        svm = Svm(constraints, parse_norm(norm))
        weights, z = [Fraction(w) for w in dual.tolist()], constraints.z[0].tolist()
        u = [sum(w * Fraction(a) for w, a in zip(weights, column, strict=True)) for column in constraints.a.T.tolist()]
        squares = sum(x * x for x in u) * sum(Fraction(x) ** 2 for x in z)
        total = sum(weights)
        assert Fraction(evaluate(svm, np.zeros((4, 4)), dual).lower) ** 2 * squares <= total**2
        wrong += Fraction(float(dual.sum()) / svm.norm.dual_value(svm.adjoint(dual))) ** 2 * squares > total**2
        M, error = dual_matrix(svm, dual)
        for (j, k), entry in np.ndenumerate(M):
            assert abs(Fraction(float(entry)) - u[j] * Fraction(z[k])) <= Fraction(float(error[j, k]))
    assert wrong >= 8


def test_margins_carry_their_rounding():
    wrong = 0
    for seed in range(40):
        constraints, _ = _cancelling(seed)
        W = np.random.default_rng(seed).standard_normal(4) * 1e8
        # Weights nearly orthogonal to a row: its margin is rounding, or hardly more.
        for c in range(7):
            row = constraints.diagonal[c]
            w = W - (W @ row) / (row @ row) * row + row
            exact = sum(
                Fraction(a) * Fraction(z) * Fraction(v)
                for a, z, v in zip(constraints.a[c].tolist(), constraints.z[0].tolist(), w.tolist(), strict=True)
            )
            one = Svm(constraints.restrict(np.array([c])), parse_norm("linf"))
            certificate = evaluate(one, w, np.zeros(1))
            assert Fraction(certificate.margin) <= exact
            wrong += Fraction(float(one.margins(w)[0])) > exact
    assert wrong >= 40


def _exact_norms(M):
    with mpmath.workdps(50):
        s = mpmath.svd_r(mpmath.matrix(M.tolist()), compute_uv=False)
        return max(s), mpmath.fsum(s)


@pytest.mark.parametrize("spoilt", range(6))
def test_norm_bounds_hold_for_a_poor_decomposition(monkeypatch, spoilt):
    """The decomposition is believed in nothing: factors of seven digits, or not orthogonal, still give bounds."""
    rng = np.random.default_rng(spoilt)
    M = rng.standard_normal((4, 5)) / 8
    svd = np.linalg.svd

    def poor(A, **options):
        U, s, Vt = svd(A, **options)
        noise = 1 + 1e-7 * rng.standard_normal(3)
        return (
            (U * noise[0] if spoilt % 3 == 0 else U),
            (s * (1 - 1e-7) if spoilt % 3 == 1 else s),
            (Vt + 1e-7 * rng.standard_normal(Vt.shape) if spoilt % 3 == 2 else Vt),
        )

    operator, nuclear = _exact_norms(M)
    monkeypatch.setattr(np.linalg, "svd", poor)
    found = rounding.spectral_up(M)
    assert operator <= found[0] <= operator * (1 + 1e-5)
    assert nuclear <= found[1] <= nuclear * (1 + 1e-5)

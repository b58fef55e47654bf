"""Certificates: bounds that hold in exact arithmetic, from any weights and multipliers whatever."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, sampled_from

import bank
import marginflow as mf
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify


def _value(norm, W):
    """N(W) of a rational matrix to 60 digits."""
    with mpmath.workdps(60):
        M = mpmath.matrix([[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in W])
        if norm in ("nuclear", "operator"):
            s = mpmath.svd_r(M, compute_uv=False)
            return mpmath.fsum(s) if norm == "nuclear" else max(s)
        entries = [mpmath.fabs(x) for x in M]
        p = mpmath.mpf(2 if norm == "frobenius" else bank.exponent(norm))
        return max(entries) if p == mpmath.inf else mpmath.fsum(x**p for x in entries) ** (mpmath.mpf(1) / p)


DUAL = {"nuclear": "operator", "operator": "nuclear"} | {
    prefix + one: prefix + other for prefix in ("", "entry-") for one, other in (("l1", "linf"), ("linf", "l1"))
}


def _exact(x):
    return [[Fraction(float(v)) for v in row] for row in np.atleast_2d(x)]


def _exact_margin(problem, i, t, own, W):
    x, y = problem.X[i, own], problem.X[i, t]
    a = [Fraction(float(p)) - Fraction(float(q)) for p, q in zip(x, y, strict=True)]
    z = [Fraction(float(v)) for v in problem.z[i]]
    return sum(a[j] * W[j][k] * z[k] for j in range(len(a)) for k in range(len(z)))


@settings(max_examples=40, deadline=None)
@given(integers(0, 10**6), sampled_from(bank.NORMS), floats(-6, 6), floats(-3, 3))
def test_bounds_hold_in_exact_arithmetic(seed, norm, size, noise):
    """Perturbed optima, so that both bounds are close to the truth but not on it."""
    rng = np.random.default_rng(seed)
    problem = bank.sphere(2, 3, 4, seed)
    problem = mf.Problem(problem.X * 10**size, problem.z, problem.scores)
    solution = mf.solve(problem, norm)
    if solution.status is not mf.SvmStatus.optimal:
        return
    diagonal = solution.norm.diagonal
    W = solution.beta if diagonal else solution.W
    W = W * (1 + 10 ** (noise - 6) * rng.standard_normal(W.shape))
    dual = solution.dual * (1 + 10 ** (noise - 6) * rng.standard_normal(solution.dual.shape))
    certificate = certify(solution.svm, W, dual).certificate
    exact = _exact(np.diag(W) if diagonal else W)
    pairs = list(zip(solution.constraints.sample, solution.constraints.token, strict=True))
    own = problem.optimal
    margins = [_exact_margin(problem, i, t, own[i], exact) for i, t in pairs]
    with mpmath.workdps(60):
        least = min(margins)
        if least > 0:
            true_upper = _value(norm, exact) / (mpmath.mpf(least.numerator) / least.denominator)
            assert certificate.upper >= true_upper
            assert certificate.upper <= true_upper * (1 + 1e-10)
        M = [[Fraction(0)] * 4 for _ in range(4)]
        for (i, t), weight in zip(pairs, dual, strict=True):
            weight = max(Fraction(float(weight)), Fraction(0))
            for j in range(4):
                a = Fraction(float(problem.X[i, own[i], j])) - Fraction(float(problem.X[i, t, j]))
                for k in range(4):
                    if not diagonal or j == k:
                        M[j][k] += weight * a * Fraction(float(problem.z[i, k]))
        total = sum(max(Fraction(float(w)), Fraction(0)) for w in dual)
        name = DUAL.get(norm, norm)
        if "lp:" in name:
            p = mpmath.mpf(bank.exponent(name))
            q = p / (p - 1)
            entries = [mpmath.fabs(mpmath.mpf(x.numerator) / x.denominator) for row in M for x in row]
            size_ = mpmath.fsum(x**q for x in entries) ** (1 / q)
        else:
            size_ = _value(name, M)
        true_lower = mpmath.mpf(total.numerator) / total.denominator / size_
        assert certificate.lower <= true_lower
        assert certificate.lower >= true_lower * (1 - 1e-10)
        assert certificate.lower <= solution.certificate.upper
        assert certificate.upper >= solution.certificate.lower


@pytest.mark.parametrize("norm", bank.NORMS)
def test_nonsense_proves_nothing(norm):
    constraints = bank.sphere(2, 3, 4).constraints()
    chosen = parse_norm(norm)
    shape = (4,) if chosen.diagonal else (4, 4)
    for W in (np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.inf)):
        for dual in (np.zeros(4), -np.ones(4), np.full(4, np.nan), np.full(4, np.inf)):
            certificate = certify(Svm(constraints, chosen), W, dual).certificate
            assert certificate.lower == 0.0
            assert certificate.upper == np.inf
            assert certificate.gap == np.inf


@pytest.mark.parametrize("norm", bank.NORMS)
def test_multiples_certify_the_same(norm):
    solution = mf.solve(bank.sphere(2, 3, 6, 4), norm)
    W = solution.beta if solution.norm.diagonal else solution.W
    for factor in (1e-250, 1e-3, 1e250):
        other = certify(solution.svm, W * factor, solution.dual * factor).certificate
        assert other.lower == pytest.approx(solution.certificate.lower, rel=1e-12)
        assert other.upper == pytest.approx(solution.certificate.upper, rel=1e-12)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_the_ray_counts_when_it_proves_more(norm):
    solution = mf.solve(bank.sphere(2, 3, 6, 4), norm)
    W = solution.beta if solution.norm.diagonal else solution.W
    other = certify(solution.svm, W, np.ones_like(solution.dual), solution.dual)
    assert other.certificate.lower == pytest.approx(solution.certificate.lower, rel=1e-12)


def test_rounded_differences_are_allowed_for():
    """x_selected - x_l is not a float: the bounds must hold for the difference, not for its rounding."""
    third = 1.0 / 3.0
    X = np.array([[[1.0 + 2**-52, 0.0], [third * 2**-3, 0.0]]])
    problem = mf.Problem(X, [[1.0]], [[1.0, 0.0]])
    true = 1 / (Fraction(float(X[0, 0, 0])) - Fraction(float(X[0, 1, 0])))
    for norm in bank.MATRIX_NORMS:
        certificate = mf.solve(problem, norm).certificate
        assert Fraction(certificate.lower) <= true <= Fraction(certificate.upper)


@pytest.mark.parametrize("norm", ["nuclear", "l1"])
def test_slices_change_nothing(norm, monkeypatch):
    """Up to the last digits, which BLAS may round otherwise in a product of fewer rows."""
    from marginflow.problem import constraints

    solution = mf.solve(bank.sphere(3, 4, 12), norm)
    W = solution.beta if solution.norm.diagonal else solution.W
    whole = certify(solution.svm, W, solution.dual).certificate
    monkeypatch.setattr(constraints, "BLOCK", 2)
    parts = certify(solution.svm, W, solution.dual).certificate
    assert (parts.lower, parts.binding) == (whole.lower, whole.binding)
    assert (parts.upper, parts.margin) == pytest.approx((whole.upper, whole.margin), rel=1e-14)

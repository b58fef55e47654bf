"""Norms: names, values, and bounds that stay above the value in exact arithmetic."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats

from marginflow import InputError
from marginflow.norms import EntryLp, Frobenius, Lp, Nuclear, Operator, parse_norm


ENTRY = ("entry-l1", "entry-linf", "entry-lp:1.75")


@pytest.mark.parametrize("name", ["nuclear", "frobenius", "operator", "l1", "l2", "linf", "lp:1.75", "lp:3", *ENTRY])
def test_names_round_trip(name):
    norm = parse_norm(name)
    assert norm.name == name
    assert parse_norm(norm) is norm
    assert norm.diagonal == (name not in ("nuclear", "frobenius", "operator", *ENTRY))
    assert norm.entrywise == (name not in ("nuclear", "operator"))


def test_lp_two_is_l2():
    assert parse_norm("lp:2").name == "l2"
    assert parse_norm(" Nuclear ").name == "nuclear"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "trace",
        "lp",
        "lp:",
        "lp:x",
        "lp:1",
        "lp:.5",
        "lp:-2",
        "lp:inf",
        "lp:nan",
        "l3",
        "entry-lp:1",
        "entry-lp:x",
        "entry-l3",
        "entry-",
    ],
)
def test_unknown_names_are_one_clear_error(name):
    with pytest.raises(InputError, match="expected"):
        parse_norm(name)


def test_the_euclidean_norm_of_all_entries_has_one_name():
    assert parse_norm("entry-lp:2") == Frobenius()
    with pytest.raises(InputError, match="frobenius"):
        parse_norm("entry-l2")
    with pytest.raises(InputError, match="Frobenius"):
        EntryLp(2.0)


@pytest.mark.parametrize("p", [1.0, 1.3, 3.0, math.inf])
def test_bounds_of_entries_hold_in_exact_arithmetic(p):
    """Of a matrix and of what is known of another up to an error, against 60 digits."""
    draw, norm = np.random.default_rng(2), EntryLp(p)
    q = norm.q if p in (1.0, math.inf) else mpmath.mpf(p) / (mpmath.mpf(p) - 1)
    for _ in range(20):
        M = draw.standard_normal((3, 5)) * 10.0 ** draw.integers(-3, 4, (3, 5))
        error = np.abs(M) * 1e-9
        far = np.abs(M) + error
        with mpmath.workdps(60):
            for bound, sizes, power in ((norm.value_upper(M), np.abs(M), p), (norm.dual_upper(M, error), far, q)):
                entries = [mpmath.mpf(x) for x in sizes.ravel().tolist()]
                top = max(entries)
                exact = top if power == math.inf else mpmath.fsum(x**power for x in entries) ** (mpmath.mpf(1) / power)
                assert exact * (1 - mpmath.mpf(2) ** -60) <= bound <= exact * (1 + 1e-12)


def test_exponent_below_one_is_no_norm():
    with pytest.raises(InputError, match="not a norm"):
        Lp(0.5)


@pytest.mark.parametrize(("norm", "dual"), [(Nuclear(), Operator()), (Operator(), Nuclear())])
def test_duals_of_matrix_norms(norm, dual):
    M = np.random.default_rng(0).standard_normal((4, 6))
    assert norm.dual_value(M) == pytest.approx(dual.value(M), rel=1e-14)


@pytest.mark.parametrize("p", [1.0, 1.3, 2.0, 5.0, math.inf])
def test_dual_pairing_is_tight(p):
    """<M, W> <= N(W) N_d(M), with equality for W the gradient of the dual norm."""
    rng = np.random.default_rng(1)
    norm, M = Lp(p), rng.standard_normal(5)
    for _ in range(50):
        W = rng.standard_normal(5)
        assert M @ W <= norm.value(W) * norm.dual_value(M) * (1 + 1e-14)
    if 1.0 < p < math.inf:
        W = np.sign(M) * np.abs(M) ** (norm.q - 1)
        assert M @ W == pytest.approx(norm.value(W) * norm.dual_value(M), rel=1e-13)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_spectral_bounds_against_many_digits(seed, scale):
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((rng.integers(1, 7), rng.integers(1, 7)))
    if seed % 2:
        M = np.outer(M[:, 0], M[0])
    M *= scale
    with mpmath.workdps(60):
        s = mpmath.svd_r(mpmath.matrix(M.tolist()), compute_uv=False)
        total, largest = mpmath.fsum(s), max(s)
        frobenius = mpmath.sqrt(mpmath.fsum(mpmath.mpf(float(x)) ** 2 for x in M.ravel()))
        for norm, exact in ((Nuclear(), total), (Operator(), largest), (Frobenius(), frobenius)):
            assert norm.value_upper(M) >= exact
            assert norm.value_upper(M) <= exact * (1 + 1e-12)
        for norm, exact in ((Nuclear(), largest), (Operator(), total), (Frobenius(), frobenius)):
            assert norm.dual_upper(M) >= exact
            assert norm.dual_upper(M) <= exact * (1 + 1e-12)


@pytest.mark.parametrize("p", [1.0, 1.001, 1.5, 2.0, 3.7, 40.0, math.inf])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_vector_bounds_against_many_digits(p, scale):
    x = np.random.default_rng(int(10 * min(p, 99))).standard_normal(30) * scale
    norm = Lp(p)
    with mpmath.workdps(60):
        for bound, power in (
            (norm.value_upper(x), mpmath.mpf(p)),
            (norm.dual_upper(x), mpmath.mpf(p) / (mpmath.mpf(p) - 1) if 1 < p < math.inf else None),
        ):
            sizes = [mpmath.fabs(mpmath.mpf(float(v))) for v in x]
            if power is None:
                power = mpmath.inf if p == 1 else mpmath.mpf(1)
            exact = max(sizes) if power == mpmath.inf else mpmath.fsum(s**power for s in sizes) ** (1 / power)
            assert bound >= exact
            assert bound <= exact * (1 + 1e-11)


def test_dual_bounds_cover_the_error_given():
    rng = np.random.default_rng(2)
    M = rng.standard_normal((4, 3))
    error = np.abs(rng.standard_normal((4, 3))) * 1e-3
    for norm in (Nuclear(), Operator(), Frobenius()):
        for _ in range(30):
            shifted = M + error * rng.choice([-1, 1], M.shape)
            assert norm.dual_value(shifted) <= norm.dual_upper(M, error)
    for p in (1.0, 1.5, 2.0, math.inf):
        for _ in range(30):
            shifted = M[0] + error[0] * rng.choice([-1, 1], 3)
            assert Lp(p).dual_value(shifted) <= Lp(p).dual_upper(M[0], error[0])


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (3, 2), elements=floats(-1e3, 1e3)))
@example(np.full((3, 2), 2.0**-1038))
@example(np.full((3, 2), 2.22507386e-313))
def test_frobenius_bound_is_above_the_rational_value(M):
    exact = sum(Fraction(float(x)) ** 2 for x in M.ravel())
    assert Fraction(Frobenius().value_upper(M)) ** 2 >= exact
    assert Fraction(Lp(1.0).value_upper(M[0])) >= sum(abs(Fraction(float(x))) for x in M[0])

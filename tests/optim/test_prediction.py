"""The norm expected of a run, and the number that takes it away."""

import math
import re

import pytest

import marginflow as mf


PROBLEM = mf.load("equal:n=6,T=8,d=10,seed=3")


def expected(kind, optimizer, rate, **options):
    method = mf.descend(PROBLEM, kind, optimizer, rate=rate, iterations=options.pop("iterations", 1), **options).method
    return method.norm, method.why


@pytest.mark.parametrize(("x", "norm"), [(0.9, "operator"), (1.1, None)])
def test_momentum_has_a_threshold_in_the_certified_margin(x, norm):
    gamma = 1.0 / mf.solve(PROBLEM, "operator").value
    rate = x * math.log(1 / 0.95) / gamma
    found, why = expected("w", "spectral:momentum=0.95", rate)
    assert found == norm
    assert abs(float(re.search(r"x = ([0-9.]+)", why)[1]) - x) < 1e-3
    assert abs(float(re.search(r"gamma = ([0-9.]+)", why)[1]) / gamma - 1) < 1e-7
    # Without momentum there is nothing to forget.
    assert expected("w", "spectral", rate)[0] == "operator"


def test_speed_is_held_against_the_same_threshold():
    limit = math.log(1 / 0.95)
    for x, norm in ((0.9, "nuclear"), (1.1, None)):
        assert expected("kq", "ngd:momentum=0.95", mf.optim.Speed(x * limit))[0] == norm


def test_on_factors_a_constant_rate_outruns_every_memory_and_a_power_above_a_half_none():
    found, why = expected("kq", "spectral:momentum=0.95", 0.01)
    assert found is None and "without bound" in why
    assert expected("kq", "spectral:momentum=0.95", "power:0.1,0.4")[0] is None
    assert expected("kq", "spectral:momentum=0.95", "power:0.1,0.6")[0] == "operator"
    gamma = 1.0 / mf.solve(PROBLEM, "operator").value
    # At 1/2: 4 eta^2 gamma against log(1/beta).
    for x, norm in ((0.9, "operator"), (1.1, None)):
        eta = math.sqrt(x * math.log(1 / 0.95) / (4 * gamma))
        assert expected("kq", "spectral:momentum=0.95", mf.optim.Power(eta, 0.5))[0] == norm
    # Joint Euclidean steps share their length between K and Q: half of that.
    gamma = 1.0 / mf.solve(PROBLEM, "nuclear").value
    for x, norm in ((0.9, "nuclear"), (1.1, None)):
        eta = math.sqrt(x * math.log(1 / 0.95) / (2 * gamma))
        assert expected("kq", "ngd:momentum=0.95", mf.optim.Power(eta, 0.5))[0] == norm


@pytest.mark.parametrize(
    ("kind", "optimizer", "options", "norm", "word"),
    [
        ("w", "gd", {}, "frobenius", "flow"),
        ("kq", "gd:momentum=0.99", {}, "nuclear", "flow"),
        ("w", "nuclear", {}, "nuclear", "nuclear norm 1"),
        ("w", "sign", {}, "entry-linf", "largest entry"),
        ("w", "coordinate", {}, "entry-l1", "sum 1"),
        ("diag", "sign", {}, "linf", "largest entry"),
        ("kq", "sign", {}, None, "spurious"),
        ("kq", "nuclear", {}, None, "Schatten-1/2"),
        ("kq", "adam:eps=0", {}, None, "factors"),
        ("w", "adam", {}, None, "margin log(1/eps) = 18.42"),
        ("w", "adam:b2=0.95,eps=0", {"rate": "speed:0.03"}, None, "x = 1.17"),
        ("w", "adam:b2=0.9,eps=0", {"rate": "speed:0.03"}, "entry-linf", "x = 0.569"),
        ("w", "muon", {}, None, "Newton-Schulz"),
        ("w", "sign", {"batch": 1}, None, "1 of 6 samples"),
        ("w", "ngd", {"batch": 1}, "frobenius", ""),
        ("w", "gd", {"decay": "l2:0.1"}, "frobenius", "ridge"),
        ("w", "spectral", {"decay": "l2:0.1"}, None, "ridge"),
        ("w", "spectral", {"decay": "decoupled:0.1"}, "operator", "finite"),
        ("w", "mirror:p=1.75", {}, "entry-lp:1.75", "potential"),
        ("kq", "mirror:p=1.75", {}, None, "no statement"),
        ("w", "shampoo", {"rate": "speed:0.01"}, "operator", "x = 0.3899"),
        ("w", "shampoo", {"rate": "speed:0.03"}, None, "x = 1.17"),
    ],
)
def test_the_table(kind, optimizer, options, norm, word):
    found, why = expected(kind, optimizer, **{"rate": 0.01, **options})
    assert found == norm and word in why


def test_a_rank_cap_takes_the_operator_norm_away():
    assert expected(mf.KeyQuery(2), "spectral", 0.01)[0] is None
    assert expected(mf.KeyQuery(10), "spectral", 0.01)[0] == "operator"

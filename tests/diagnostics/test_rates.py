"""Fits and late laws: exact powers, the law of the logarithmic integral, the slack constant."""

import mpmath
import numpy as np
import pytest

from marginflow.diagnostics.rates import (
    combined_constant,
    factored_constant,
    factored_correction,
    fit_power,
    log_prefactors,
    slack_constant,
    weight_entropy,
)
from marginflow.errors import InputError
from marginflow.problem.planted import angle
from marginflow.problem.random import sphere


def test_an_exact_power_has_no_error() -> None:
    x = np.geomspace(1e3, 1e12, 30)
    found = fit_power(x, 3.0 * x**-0.4226)
    assert found.power == pytest.approx(-0.4226, abs=1e-13)
    assert found.error < 1e-13 and found.points == 30
    assert np.exp(found.intercept) == pytest.approx(3.0)


def test_the_error_covers_a_curved_power() -> None:
    x = np.geomspace(1e2, 1e8, 40)
    found = fit_power(x, x**-0.5 * (1 + x**-0.25))
    assert abs(found.power + 0.5) <= 3 * found.error


def test_fits_refuse_what_is_no_power() -> None:
    for x, y in ((np.ones(3), np.ones(3)), (np.arange(5.0), np.ones(5)), (np.ones(5), np.ones(5))):
        with pytest.raises(InputError, match="fit"):
            fit_power(x, y)


def test_combined_law() -> None:
    # 1/e = gamma^2 t exactly.
    log_time = np.array([10.0, 1e6])
    assert combined_constant(-log_time - 2 * np.log(0.7), log_time, 0.7) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("size", [50.0, 1e3, 1e5])
def test_factored_law_is_the_logarithmic_integral(size: float) -> None:
    """1/e = y with y' = 2 gamma log y: 2 gamma t = li(y); the correction's error is O((log l / l)^2)."""
    gamma = 0.6
    y = mpmath.exp(size)
    log_time = float(mpmath.log(mpmath.li(y) / (2 * gamma)))
    measured = factored_constant(np.array([-size]), np.array([log_time]), gamma)[0]
    predicted = factored_correction(np.array([-size]), gamma, np.ones(1), np.ones((1, 1)), 0.0)[0]
    assert measured == pytest.approx(predicted, abs=3 * (np.log(size) / size) ** 2)


def test_correction_counts_off_support_shares() -> None:
    rho, components = np.array([1.0, 0.5]), np.array([[3.0, 1.0]])
    with_share = factored_correction(np.array([-1e9]), 0.6, rho, components, 0.0)[0]
    assert with_share == pytest.approx(0.25 * 0.25, abs=1e-7)


def test_slack_constant_from_its_definition() -> None:
    kappa, p = np.array([0.3, 0.1, 0.2]), np.array([0.5, 0.5, 0.0])
    levels = np.log(kappa[:2] / p[:2])
    assert slack_constant(np.log(kappa), p) == pytest.approx(levels.mean() - levels.min())
    assert weight_entropy(np.log(kappa), p) == pytest.approx(levels.mean())


def test_prefactors_give_the_excess() -> None:
    assert log_prefactors(angle(0.5).problem, angle(0.5).problem.constraints()) == pytest.approx(
        np.full(2, -1 - np.log(2))
    )
    # Direct evaluation of L - L* at margins of 20 to 40, where it still can be done by subtraction in mpmath.
    problem = sphere(n=2, T=3, d=4, seed=0)
    rows = problem.constraints()
    margins = np.array([20.0, 25.0, 22.0, 30.0])
    late = mpmath.fsum(mpmath.exp(k - m) for k, m in zip(log_prefactors(problem, rows), margins, strict=True))
    with mpmath.workdps(40):
        excess = mpmath.mpf(0)
        for i in range(2):
            own = rows.sample == i
            weights = [mpmath.exp(-m) for m in margins[own]]
            total = 1 + mpmath.fsum(weights)
            top = mpmath.mpf(problem.scores[i, problem.optimal[i]])
            lost = mpmath.fsum(
                w * (top - mpmath.mpf(problem.scores[i, token]))
                for w, token in zip(weights, rows.token[own], strict=True)
            )
            excess += mpmath.exp(-top) * mpmath.expm1(lost / total) / 2
    assert float(late / excess) == pytest.approx(1.0, rel=1e-8)

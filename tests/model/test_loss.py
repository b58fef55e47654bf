"""Losses: every formula against 50 digits, and the numbers that are made of them."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors.attractors import excess
from marginflow.diagnostics.rates import log_prefactors
from marginflow.errors import InputError
from marginflow.model.loss import LOSSES, Logistic, log_minimal_loss, parse_loss
from marginflow.problem.random import sphere


VALUE = {"exponential": lambda u: mpmath.exp(-u), "logistic": lambda u: mpmath.log(1 + mpmath.exp(-u))}
OUTPUTS = [-700.0, -40.0, -3.0, 0.0, 0.7, 36.9, 37.1, 600.0]


@pytest.mark.parametrize("word", LOSSES)
@pytest.mark.parametrize("u", OUTPUTS)
def test_value_slope_and_curvature_are_derivatives_in_fifty_digits(word, u):
    loss, at = LOSSES[word], np.array([u])
    with mpmath.workdps(400):
        value, x = VALUE[word], mpmath.mpf(u)
        slope = mpmath.diff(value, x)
        curvature = -mpmath.diff(value, x, 2) / slope
        want = [float(mpmath.log(value(x))), float(mpmath.log(-slope)), float(curvature)]
    assert [loss.log_value(at)[0], loss.log_slope(at)[0]] == pytest.approx(want[:2], rel=2e-15, abs=1e-15)
    assert loss.curvature(at)[0] == pytest.approx(want[2], rel=1e-14)


@pytest.mark.parametrize("word", LOSSES)
@pytest.mark.parametrize("delta", [1e-12, 0.3, 5.0])
@pytest.mark.parametrize("u", [-30.0, 0.0, 2.0, 50.0])
def test_gain_is_a_difference_that_nothing_cancels(word, u, delta):
    with mpmath.workdps(60):
        value, x, step = VALUE[word], mpmath.mpf(u), mpmath.mpf(delta)
        want = float(mpmath.log(value(x - step) - value(x)))
        behind = float(mpmath.log(mpmath.expm1(step)))
    for offset in (0.0, -1e6):
        got = LOSSES[word].log_gain(np.array([u]), np.array([behind - offset]), np.array([offset]))[0] + offset
        assert got == pytest.approx(want, rel=1e-13, abs=4e-10 if offset else 1e-13)


@pytest.mark.parametrize("word", LOSSES)
def test_limits_excess_and_prefactors_follow_the_loss(word):
    problem, loss = sphere(n=3, T=3, d=6, seed=2), LOSSES[word]
    rows, worst = np.arange(3), problem.scores.argmin(axis=1)
    with mpmath.workdps(40):
        low, high = (
            sum(VALUE[word](mpmath.mpf(float(u))) for u in problem.scores[rows, t]) / 3
            for t in (problem.optimal, worst)
        )
        assert log_minimal_loss(problem, loss) == pytest.approx(float(mpmath.log(low)), rel=1e-14)
        assert excess(problem, worst, loss) == pytest.approx(float(high - low), rel=1e-13)
    assert excess(problem, problem.optimal, loss) == 0.0
    path = mf.integrate(problem, mf.Combined(), loss=loss, until_margin=60.0)
    c = problem.constraints()
    assert path.status.name == "minimal_loss"
    terms = log_prefactors(problem, c, loss) - path.at(-1).margins
    # e -> sum kappa e^-m up to the next order, e^-m itself.
    assert path.log_excess[-1] == pytest.approx(np.logaddexp.reduce(terms), abs=1e-4)


def test_words_and_objects():
    assert parse_loss(None) is LOSSES["exponential"] and parse_loss("logistic") == parse_loss(Logistic())
    for wrong in ("hinge", 3, ["logistic"]):
        with pytest.raises(InputError, match="loss: got"):
            parse_loss(wrong)

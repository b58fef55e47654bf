"""Losses: every formula against 50 digits, and the numbers that are made of them."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors.attractors import excess
from marginflow.diagnostics.rates import log_prefactors
from marginflow.errors import InputError
from marginflow.losses import LOSSES, Logistic, log_minimal_loss, parse_loss, scalar_words
from marginflow.problem.random import sphere


VALUE = {
    "exponential": lambda u: mpmath.exp(-u),
    "logistic": lambda u: mpmath.log(1 + mpmath.exp(-u)),
    "log": lambda u: -mpmath.log(u),
    "linear": lambda u: -u,
}
OUTPUTS = [-700.0, -40.0, -3.0, 0.0, 0.7, 36.9, 37.1, 600.0]
SHARES = [1e-100, 1e-9, 0.3, 0.7, 0.999]
DOMAIN = {"log": SHARES, "linear": [u for u in OUTPUTS if u < 0.0]}
PLACES = [(word, u) for word in VALUE for u in DOMAIN.get(word, OUTPUTS)]
STEPS = [
    (word, u, step)
    for word in VALUE
    for u in ((-30.0, 0.0, 2.0, 50.0) if word != "log" else (5.1, 50.0, 600.0))
    for step in (1e-12, 0.3, 5.0)
]


def test_every_loss_of_scores_has_a_formula_here():
    assert set(VALUE) == set(scalar_words()) and set(LOSSES) - set(VALUE) == {"cross-entropy", "squared"}


@pytest.mark.parametrize("word, u", PLACES)
def test_value_slope_and_curvature_are_derivatives_in_fifty_digits(word, u):
    loss, at = LOSSES[word], np.array([u])
    with mpmath.workdps(400):
        value, x = VALUE[word], mpmath.mpf(u)
        slope = mpmath.diff(value, x)
        curvature = -mpmath.diff(value, x, 2) / slope
        want = [float(mpmath.log(value(x))), float(mpmath.log(-slope)), float(curvature)]
    assert [loss.log_value(at)[0], loss.log_slope(at)[0]] == pytest.approx(want[:2], rel=2e-15, abs=1e-15)
    assert loss.curvature(at)[0] == pytest.approx(want[2], rel=1e-14)
    assert loss.value(at[:, None])[0] == pytest.approx(np.exp(want[0]), rel=1e-12)
    assert loss.gradient(at[:, None])[0, 0] == pytest.approx(-np.exp(want[1]), rel=1e-12)
    assert loss.hessian(at[:, None])[0, 0, 0] == pytest.approx(np.exp(want[1]) * want[2], rel=1e-12)


@pytest.mark.parametrize("word, u, delta", STEPS)
def test_gain_is_a_difference_that_nothing_cancels(word, u, delta):
    with mpmath.workdps(60):
        value, x, step = VALUE[word], mpmath.mpf(u), mpmath.mpf(delta)
        want = float(mpmath.log(value(x - step) - value(x)))
        behind = float(mpmath.log(mpmath.expm1(step)))
    for offset in (0.0, -1e6):
        got = LOSSES[word].log_gain(np.array([u]), np.array([behind - offset]), np.array([offset]))[0] + offset
        assert got == pytest.approx(want, rel=1e-13, abs=4e-10 if offset else 1e-13)


@pytest.mark.parametrize("word", ["exponential", "logistic"])
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
    for wrong in ("hinge", 3, ["logistic"], "cross-entropy", mf.losses.Squared()):
        with pytest.raises(InputError, match="loss: got"):
            parse_loss(wrong)


@pytest.mark.parametrize("log_u", [-1e-9, -3.0, -1000.0, -1e9])
def test_the_log_loss_is_known_from_log_u_where_u_is_no_number(log_u):
    loss = mf.losses.Log()
    assert loss.of_log and loss.log_slope_at(np.array(log_u)) == -log_u
    assert loss.log_gain_at(np.array(0.0), np.array(log_u)) == pytest.approx(np.log(-log_u), rel=1e-15)
    if log_u > -700.0:
        assert loss.log_slope(np.exp(log_u)) == pytest.approx(-log_u, rel=1e-7)
    assert loss.log_gain(np.array(1.0), np.array(0.6), np.array(0.0)) == np.inf  # beyond u = 0


@pytest.mark.parametrize(
    "scores, words",
    [
        ([[1.0, 0.0, 0.0], [0.0, -0.5, 1.0]], "score -0.5 for token 1 of sample 1"),
        ([[1.0, 0.5, 0.2], [0.0, 0.0, -0.0]], "absent from its row"),
    ],
)
def test_the_log_loss_refuses_what_is_infinite_whatever_the_weights(scores, words):
    X = np.random.default_rng(0).standard_normal((2, 3, 2))
    X[1, 1] = X[1, 2] = X[1, 0] if "absent" in words else X[1, 1]
    X[1, 1] += 1.0 if "absent" in words else 0.0
    if "absent" in words:
        problem = mf.Problem(X, np.ones((2, 2)), [[1.0, 0.5, 0.2], [0.0, -1.0, 0.0]])
        object.__setattr__(problem, "scores", np.array(scores))
    else:
        problem = mf.Problem(X, np.ones((2, 2)), scores)
    with pytest.raises(InputError, match=words):
        mf.losses.Log().check(problem)

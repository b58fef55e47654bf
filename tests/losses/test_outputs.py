"""Losses of outputs in R^k against 40 digits, and what each asks of a problem."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.errors import InputError
from marginflow.losses import CrossEntropy, Squared, parse_output_loss


K = 3
DRAW = np.random.default_rng(1)
LOSSES = [CrossEntropy(), CrossEntropy(smoothing=0.1), Squared()]
OUTPUT = st.lists(st.floats(-30, 30, allow_subnormal=False), min_size=K, max_size=K)


def exact(loss, u, label):
    """l, its gradient and its Hessian in forty digits, by their definitions."""
    u = [mpmath.mpf(x) for x in u]
    if isinstance(loss, Squared):
        value = sum((x - (j == label)) ** 2 for j, x in enumerate(u)) / 2
        return value, [x - (j == label) for j, x in enumerate(u)], [[int(i == j) for j in range(K)] for i in range(K)]
    q = [(1 - mpmath.mpf(loss.smoothing)) * (j == label) + mpmath.mpf(loss.smoothing) / K for j in range(K)]
    total = sum(mpmath.exp(x) for x in u)
    p = [mpmath.exp(x) / total for x in u]
    value = mpmath.log(total) - sum(a * x for a, x in zip(q, u))
    return value, [a - b for a, b in zip(p, q)], [[p[i] * ((i == j) - p[j]) for j in range(K)] for i in range(K)]


@settings(max_examples=60, deadline=None)
@given(OUTPUT, st.integers(0, K - 1), st.sampled_from(LOSSES))
def test_value_gradient_and_hessian_in_forty_digits(u, label, loss):
    with mpmath.workdps(40):
        value, gradient, hessian = exact(loss, u, label)
        size = max(1.0, *map(abs, u))
        at, labels = np.array(u)[None], np.array([label])
        # A loss without smoothing keeps its digits however small it is; with it, values of the size of u cancel.
        slack = 1e-13 if loss == CrossEntropy() else 0.0
        assert loss.value(at, labels)[0] == pytest.approx(float(value), rel=1e-13, abs=0 if slack else 4e-15 * size**2)
        want = np.array([float(x) for x in gradient])
        np.testing.assert_allclose(loss.gradient(at, labels)[0], want, rtol=1e-12, atol=0 if slack else 1e-15 * size)
        np.testing.assert_allclose(
            loss.hessian(at, labels)[0], [[float(x) for x in row] for row in hessian], rtol=1e-12, atol=0
        )


def test_a_loss_of_a_thousand_keeps_its_digits_and_so_does_its_pull():
    loss, labels = CrossEntropy(), np.array([0])
    u = np.array([[0.0, -600.0, -700.0]])
    assert loss.value(u, labels)[0] == pytest.approx(np.exp(-600.0), rel=1e-14)
    assert loss.gradient(u, labels)[0, 0] == pytest.approx(-np.exp(-600.0), rel=1e-14)
    assert loss.value(np.array([[-1e5, 0.0, 3.0]]), labels)[0] == pytest.approx(1e5 + np.logaddexp(0, 3))


def test_batches_keep_their_axes():
    u, labels = DRAW.standard_normal((2, 5, 4, K)), np.array([0, 2, 1, 1])
    for loss in LOSSES:
        assert loss.value(u, labels).shape == (2, 5, 4)
        np.testing.assert_allclose(loss.gradient(u, labels)[1, 2], loss.gradient(u[1, 2], labels))
        assert loss.hessian(u, labels).shape == (2, 5, 4, K, K)


def test_effective_scores_are_the_values_along_the_way_down():
    X, z, V = DRAW.standard_normal((4, 3, 2)), np.ones((4, 2)), DRAW.standard_normal((4, 3, K))
    problem = mf.Problem(X, z, values=V, labels=[0, 1], output=[0, 1, 1, 0])
    u = DRAW.standard_normal((2, K))
    for loss in LOSSES:
        pull, h = loss.pull(u, problem), 1e-6
        for r, t in ((0, 1), (2, 0)):
            o = problem.output[r]
            step = np.zeros((2, K))
            step[o] = h * V[r, t]
            change = loss.value(u + step, problem.labels)[o] - loss.value(u - step, problem.labels)[o]
            assert pull[r, t] == pytest.approx(-change / (2 * h), abs=1e-8)
    scored = mf.Problem(X, z, DRAW.standard_normal((4, 3)))
    u = DRAW.standard_normal((4, 1))
    np.testing.assert_allclose(mf.losses.Exponential().pull(u, scored), np.exp(-u) * scored.scores)


def test_words_make_the_losses_again():
    for loss in (*LOSSES, mf.losses.Log(), mf.losses.Linear(), mf.losses.Exponential()):
        assert parse_output_loss(loss.word) == loss
    assert CrossEntropy(smoothing=0.1).word == "cross-entropy:smoothing=0.1"


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, np.nan, "a", True, None])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(InputError, match="smoothing"):
        CrossEntropy(smoothing=smoothing)
    with pytest.raises(InputError, match="smoothing"):
        parse_output_loss(f"cross-entropy:smoothing={smoothing}")


def test_what_a_problem_does_not_say_is_asked_for():
    X, z, V = DRAW.standard_normal((2, 3, 2)), np.ones((2, 2)), DRAW.standard_normal((2, 3, K))
    scored = mf.Problem(X, z, DRAW.standard_normal((2, 3)))
    classes, targets = mf.Problem(X, z, values=V, labels=[0, 1]), mf.Problem(X, z, values=V, labels=V[:, 0])
    for loss, problem, words in (
        (CrossEntropy(), scored, "expected values"),
        (Squared(), scored, "expected values"),
        (CrossEntropy(), targets, "got targets of shape"),
        (mf.losses.Exponential(), classes, "got values in R\\^3"),
        (mf.losses.Log(), classes, "got values in R\\^3"),
    ):
        with pytest.raises(InputError, match=words):
            loss.check(problem)
    for loss, problem in ((CrossEntropy(), classes), (Squared(), classes), (Squared(), targets)):
        loss.check(problem)


def test_a_gradient_that_float64_does_not_hold_is_refused_by_name():
    """Beyond a lead of 745 every share but the label's is 0: the run would stand still and nothing would say why."""
    loss, labels = CrossEntropy(), np.array([0])
    near = loss.gradient(np.array([[700.0, 0.0]]), labels)
    assert near[0, 1] == pytest.approx(np.exp(-700.0)) and near[0, 0] == -near[0, 1]
    with pytest.raises(mf.InputError, match="leads by 800 at its label"):
        loss.gradient(np.array([[800.0, 0.0], [1.0, 0.0]]), np.array([0, 0]))
    assert CrossEntropy(0.1).gradient(np.array([[800.0, 0.0]]), labels).any()
    assert (loss.gradient(np.array([[-800.0, 0.0]]), labels) == [[-1.0, 1.0]]).all()
    values = np.array([[[400.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [301.0, 0.0]]])
    X, z = np.ones((2, 2, 2)) * np.arange(1, 3)[:, None], np.ones((2, 2))
    loss.check(mf.Problem(X, z, values=values, labels=[0, 0]))
    both = mf.Problem(X, z, values=values, labels=[0], output=[0, 0])
    with pytest.raises(mf.InputError, match="an output can lead by 701 at its label"):
        loss.check(both)
    CrossEntropy(0.1).check(both)

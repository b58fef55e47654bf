"""The barrier against its formula in 50 digits, and starts on either side of it."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.selection.barrier import log_barrier


def in_fifty_digits(problem, loss):
    """min over samples of (l(best - gap / (4 copies)) - l(best)) / n, every token looked at."""
    mpmath.mp.dps = 50
    value = {"exponential": lambda u: mpmath.exp(-u), "logistic": lambda u: mpmath.log(1 + mpmath.exp(-u))}[loss]
    rises = []
    for scores, mask in zip(problem.scores.tolist(), problem.mask.tolist()):
        there = [mpmath.mpf(x) for x, exists in zip(scores, mask) if exists]
        best = max(there)
        gap = min(best - x for x in there if x < best)
        copies = sum(x == best for x in there)
        rises.append((value(best - gap / (4 * copies)) - value(best)) / problem.n)
    return float(mpmath.log(min(rises)))


def two_samples(first, second, copies=1):
    """One best token with `copies`, one worse by the gap given, per sample; the second sample has an extra token."""
    best = np.array([1.0, 0.0])
    X = [[*[best] * copies, [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0], [0.0, -1.0]]]
    scores = [[*[0.7] * copies, 0.7 - first], [2.0, 2.0 - second, 2.0 - 2 * second]]
    return mf.Problem([np.array(x) for x in X], np.eye(2), scores)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize("gaps", [(1.0, 0.01), (0.01, 1.0), (30.0, 1e-5), (2.0, 2.0)])
@pytest.mark.parametrize("copies", [1, 3])
def test_the_least_rise_of_any_sample(loss, gaps, copies):
    problem = two_samples(*gaps, copies=copies)
    assert log_barrier(problem, mf_loss(loss)) == pytest.approx(in_fifty_digits(problem, loss), abs=1e-9)


def test_a_loss_that_is_not_convex_has_none():
    class Bent(mf.losses.Exponential):
        convex = False

    problem = two_samples(1.0, 0.01)
    assert np.isfinite(log_barrier(problem, mf.losses.Exponential())) and log_barrier(problem, Bent()) == -np.inf


def mf_loss(word):
    try:
        from marginflow.losses import parse_loss
    except ImportError:
        return word
    return parse_loss(word)


@pytest.mark.parametrize("copies", [1, 2, 4])
@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_the_verdict_turns_where_the_attention_on_other_tokens_is_one_in_four_copies(loss, copies):
    """One sample: the bound is met at p = 1/(4 copies), margin log((4 copies - 1) / copies)."""
    problem = mf.Problem([[[1.0]] * copies + [[0.0]]], [[1.0]], [[1.0] * copies + [0.2]])
    border = np.log((4 * copies - 1) / copies)
    for until, reached in ((border - 1e-3, False), (border + 1e-3, True)):
        path = mf.integrate(problem, mf.Combined(), loss=loss, init=np.zeros((1, 1)), until_margin=until)
        assert path.margin[-1] == pytest.approx(until, abs=1e-5)
        assert (path.status is mf.FlowStatus.minimal_loss) is reached, path.reason


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize(
    "model", [mf.Combined(), mf.KeyQuery(1), mf.Diagonal(), mf.DiagonalKeyQuery()], ids=lambda m: m.word
)
def test_starts_just_below_it_reach_the_minimal_loss(model, loss):
    problem = two_samples(0.3, 1.0)
    barrier = log_barrier(problem, mf_loss(loss))
    # The margins of both samples grow with one length: bisect it to just below the barrier.
    low, high = 0.01, 60.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if start(problem, model, middle, loss).log_excess[0] < barrier - 1e-9:
            high = middle
        else:
            low = middle
    path = mf.integrate(problem, model, loss=loss, init=init(model, high), until_margin=50.0)
    assert path.log_excess[0] == pytest.approx(barrier, abs=1e-6)
    assert (np.diff(path.log_excess) < 0).all() and path.log_excess[-1] < -40.0
    assert path.status is mf.FlowStatus.minimal_loss and path.margin[-1] > 40.0


def init(model, length):
    root = np.sqrt(length)
    return {
        "w": np.array([[1.0, 0.1], [0.1, 1.0]]) * length,
        "kq": (np.array([[root], [root]]), np.array([[root], [root]])),
        "diag": np.array([1.0, 1.0]) * length,
        "diag-kq": (np.array([root, root]), np.array([root, root])),
    }[model.word]


def start(problem, model, length, loss):
    return mf.integrate(problem, model, loss=loss, init=init(model, length), max_steps=1)

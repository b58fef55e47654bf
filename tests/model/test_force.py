"""The force against 60-digit arithmetic, its response against differences, and the excess."""

import mpmath
import numpy as np
import pytest

from marginflow.losses import Exponential, parse_loss
from marginflow.model.force import force, log_excess
from marginflow.model.logits import Logits


def by_hand(s, scores, mask, loss):
    """F and L - L* in mpmath, one sample at a time."""
    F, excess, n = [], mpmath.mpf(0), len(s)
    for row, gamma, keep in zip(s, scores, mask, strict=True):
        w = [mpmath.exp(x) if k else mpmath.mpf(0) for x, k in zip(row, keep, strict=True)]
        p = [x / sum(w) for x in w]
        mean = sum(a * mpmath.mpf(float(b)) for a, b in zip(p, gamma, strict=True))
        slope = mpmath.exp(-mean) if loss == "exponential" else 1 / (1 + mpmath.exp(mean))
        F.append([slope * a * (mpmath.mpf(float(b)) - mean) / n for a, b in zip(p, gamma, strict=True)])
        best = max(mpmath.mpf(float(g)) for g, k in zip(gamma, keep, strict=True) if k)
        of = (lambda u: mpmath.exp(-u)) if loss == "exponential" else (lambda u: mpmath.log(1 + mpmath.exp(-u)))
        excess += (of(mean) - of(best)) / n
    return F, excess


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize("size", [1.0, 50.0, 3000.0])
def test_force_and_excess_have_all_their_digits_at_any_margin(loss, size):
    rng = np.random.default_rng(int(size))
    s = size * rng.standard_normal((4, 5))
    scores = rng.standard_normal((4, 5))
    scores[1, 2] = scores[1, 3]
    mask = np.ones((4, 5), dtype=bool)
    mask[2, 1] = mask[3, 4] = False
    got = force(Logits.of(s[None], mask[None]), np.where(mask, scores, 0.0)[None], parse_loss(loss))
    # The top tokens lead by up to e^10000; working precision must hold 1 - p.
    with mpmath.workdps(10_000 if size > 100 else 600):
        F, excess = by_hand(s, np.where(mask, scores, 0.0), mask, loss)
        norm = mpmath.sqrt(sum(x * x for row in F for x in row))
        want = np.array([[float(x / norm) for x in row] for row in F])
        log_norm, log_ex = float(mpmath.log(norm)), float(mpmath.log(excess))
    assert np.abs(got.f[0] - want).max() < 1e-11
    assert got.log_norm[0] == pytest.approx(log_norm, rel=1e-13, abs=1e-12)
    best = np.where(mask, scores, -np.inf).argmax(axis=1)
    logits = Logits.of(s[None], mask[None])
    value = log_excess(logits, np.where(mask, scores, 0.0)[None], best[None], mask[None], parse_loss(loss))
    assert value[0] == pytest.approx(log_ex, rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_response_is_the_derivative(loss):
    rng = np.random.default_rng(0)
    s = Logits.of(2.0 * rng.standard_normal((3, 4, 5)), np.ones((3, 4, 5), dtype=bool))
    scores = rng.standard_normal((1, 4, 5))
    r = rng.standard_normal((3, 4, 5))
    at, up, down = (force(s.moved(e * r), scores, parse_loss(loss)) for e in (0.0, 1e-6, -1e-6))
    assert np.abs((up.f - down.f) / 2e-6 - at.jvp(r)).max() < 1e-9
    assert np.abs((down.log_norm - up.log_norm) / 2e-6 - at.psi_rate(r)).max() < 1e-8


def test_two_tied_tokens_on_top_of_a_distant_third_do_not_overflow():
    s = Logits.of(np.array([[[0.0, 0.0, -1e6]]]), np.ones((1, 1, 3), dtype=bool))
    at = force(s, np.array([[[1.0, 1.0, 0.0]]]), Exponential())
    assert np.allclose(at.f[0, 0], np.array([0.5, 0.5, -1.0]) / np.sqrt(1.5), atol=1e-15)
    assert at.gap[0, 0] == 1e6


def test_logits_keep_differences_that_one_float_cannot():
    s = Logits.of(np.array([[[1e12, 0.0]]]), np.ones((1, 1, 2), dtype=bool))
    for _ in range(1000):
        s = s.moved(np.array([[[1e-5, 0.0]]])).rebased()
    assert s.high[0, 0, 1] + 1e12 + s.low[0, 0, 1] == pytest.approx(-1e-2, abs=1e-9)

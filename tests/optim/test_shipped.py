"""Muon, Lion, Shampoo and mirror descent: their formulas, and what is left of them at large margins."""

import numpy as np
import pytest
import written_rules as referee
from test_rules import KINDS, PROBLEM, STEPS, close, seen, start

import marginflow as mf
from marginflow.optim.muon import newton_schulz


@pytest.mark.parametrize("margin", [0, 1e6])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_lion(kind, margin):
    arrays = start(kind, margin)
    rate = 0.1 / max(1.0, max(float(np.abs(a).max()) for a in arrays.values()) ** (kind.degree - 1))
    expected = referee.lion(PROBLEM, arrays, STEPS, rate, b1=0.9, b2=0.99)
    close(seen(kind, "lion", arrays, rate), expected, 1e-13 if not margin else 1e-12)


def _pull(arrays):
    """Minus the gradient at the start, in float64."""
    g = referee.gradient(PROBLEM, {n: referee.exact(a) for n, a in arrays.items()})
    return {n: -np.array(a, dtype=float) for n, a in g.items()}


def _first_step(kind, word, arrays):
    path = mf.descend(PROBLEM, kind, word, init=arrays, rate=1.0, iterations=1)
    return {n: path.parameters(1)[n] - a for n, a in arrays.items()}


def test_muon_is_gradient_descent_below_its_eps():
    kind, arrays = mf.Combined(), start(mf.Combined(), 0)
    pull = _pull(arrays)["W"]
    above = _first_step(kind, "muon:eps=0.0", arrays)["W"]
    assert np.abs(above - newton_schulz(pull[None] / np.linalg.norm(pull))[0]).max() < 1e-12
    s = np.linalg.svd(above, compute_uv=False)
    assert 0.6 < s[0] < 1.2
    # |update| = 0.0975 |g| far below eps: Newton-Schulz multiplies by 3.4445 five times and nothing else.
    below = _first_step(kind, "muon:eps=1e6", arrays)["W"]
    expected = 3.4445**5 * (0.05 + 0.95 * 0.05) * pull / 1e6
    assert np.abs(below - expected).max() < 1e-9 * np.abs(expected).max()


def test_muon_with_eps_stops_where_without_it_goes_on():
    for word, low, high in (("muon", 18.0, 25.0), ("muon:eps=0.0", 45.0, 77.0)):
        path = mf.descend(PROBLEM, "w", word, rate=0.1, iterations=3000)
        assert low < path.margin[-1] < high
        assert path.method.norm is None and "Newton-Schulz" in path.method.why
    assert "gradient descent from margin 16.12" in mf.descend(PROBLEM, "w", "muon", rate=0.1, iterations=1).method.why


def test_shampoo_without_memory_is_the_polar_factor():
    kind, arrays = mf.KeyQuery(2), start(mf.KeyQuery(2), 0)
    steps, exact = _first_step(kind, "shampoo:beta=0.0", arrays), _first_step(kind, "spectral", arrays)
    for n in steps:
        assert np.abs(steps[n] - exact[n]).max() < 1e-7
    # One step of the average: L = (1 - beta) g g', so that the step is (1 - beta)^(-1/2) times the polar factor.
    for n, step in _first_step(kind, "shampoo:beta=0.75", arrays).items():
        assert np.abs(step - 2.0 * exact[n]).max() < 1e-7


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
def test_shampoo_goes_on_at_margin_a_million(kind):
    path = mf.descend(
        PROBLEM, kind, "shampoo:beta=0.5", rate=mf.optim.Speed(0.1), iterations=300, init=start(kind, 1e6)
    )
    speeds = np.diff(path.margin[-6:]) / np.diff(path.iteration[-6:])
    assert np.isfinite(path.snapshots.theta).all() and np.abs(speeds / 0.1 - 1).max() < 0.25


def test_mirror_descent():
    arrays = start(mf.Combined(), 0)
    W, pull = arrays["W"], _pull(arrays)["W"]
    for p in (1.5, 3.0):
        got = _first_step(mf.Combined(), f"mirror:p={p}", arrays)["W"] + W
        y = np.sign(W) * np.abs(W) ** (p - 1) + pull
        assert np.abs(got - np.sign(y) * np.abs(y) ** (1 / (p - 1))).max() < 1e-12
    for kind in KINDS:
        options = {"rate": 0.3, "iterations": 30, "seed": 1}
        mirror = mf.descend(PROBLEM, kind, "mirror:p=2.0", **options)
        assert np.abs(mirror.W() - mf.descend(PROBLEM, kind, "gd", **options).W()).max() < 1e-12


@pytest.mark.parametrize("p", [1.5, 1.75, 3.0])
def test_mirror_descent_keeps_the_speed_asked_for(p):
    for margin in (0, 1e6):
        init = start(mf.Combined(), margin)
        path = mf.descend(PROBLEM, "w", f"mirror:p={p}", rate=mf.optim.Speed(0.1), iterations=400, init=init)
        speeds = np.diff(path.margin[-5:]) / np.diff(path.iteration[-5:])
        assert np.abs(speeds / 0.1 - 1).max() < 0.05

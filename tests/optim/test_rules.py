"""Every rule against the same rule in mpmath, at small margins and at 1e6, where every gradient is below 1e-400000."""

import numpy as np
import pytest
import written_rules as referee

import marginflow as mf
from marginflow.optim.registry import parse_optimiser


PROBLEM = mf.load("sphere:n=2,T=3,d=3,seed=1")
KINDS = [mf.KeyQuery(2), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]
STEPS = 6


def start(kind, margin):
    """Random arrays for margin 0; else those of an SVM solution at it, where several constraints pull."""
    rng = np.random.default_rng(3)
    if not margin:
        return kind.draw(3, 3, rng, 0.5)
    solution = mf.solve(PROBLEM, kind.flow_norm)
    U, s, Vt = np.linalg.svd(solution.W)
    if kind.diagonal:
        U, s, Vt = np.eye(3), np.abs(solution.beta), np.diag(np.sign(solution.beta))
    k = np.sqrt(margin * s)
    if kind.word == "diag-kq":
        return {"k": k, "q": np.diag(Vt) * k + 0.1}
    if kind.word == "diag":
        return {"beta": margin * solution.beta + 0.1}
    if kind.word == "kq":
        return {"K": (U * k)[:, :2], "Q": (Vt.T * k)[:, :2] + 1e-4}
    return {"W": margin * solution.W + 0.1 * rng.standard_normal((3, 3))}


def seen(kind, word, arrays, rate, **options):
    path = mf.descend(PROBLEM, kind, word, init=arrays, rate=rate, iterations=STEPS, **options)
    assert set(path.iteration) >= {2, 3, STEPS}
    return {int(k): path.parameters(i) for i, k in enumerate(path.iteration) if k}


def close(got, expected, tolerance=1e-13):
    assert max(referee.away(arrays, expected[k - 1]) for k, arrays in got.items()) < tolerance


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("word", ["gd", "gd:momentum=0.9", "gd:momentum=0.9,nesterov=true"])
def test_gradient_descent(kind, word):
    given = parse_optimiser(word)
    arrays = start(kind, 0)
    expected = referee.descended(PROBLEM, arrays, STEPS, 0.5, momentum=given.momentum, nesterov=given.nesterov)
    close(seen(kind, word, arrays, 0.5), expected)


@pytest.mark.parametrize("margin", [0, 1e6])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("word", ["ngd", "ngd-separate", "sign", "coordinate"])
@pytest.mark.parametrize("options", ["", ":momentum=0.9", ":momentum=0.9,nesterov=true"])
def test_steepest(kind, word, options, margin):
    given = parse_optimiser(word + options)
    arrays = start(kind, margin)
    # Steps of about a unit of margin, so that buffers hold gradients e^5 times larger than the newest.
    rate = 0.3 / max(1.0, max(float(np.abs(a).max()) for a in arrays.values()) ** (kind.degree - 1))
    expected = (
        referee.descended(
            PROBLEM, arrays, STEPS, rate, momentum=given.momentum, nesterov=given.nesterov, rule=given.geometry
        )
        if word != "ngd"
        else referee.descended(
            PROBLEM, arrays, STEPS, rate, momentum=given.momentum, nesterov=given.nesterov, rule="ngd"
        )
    )
    # At margin 1e6 a logit in float64 is known to 1e-10, and with it the weights of what pulls.
    close(seen(kind, word + options, arrays, rate), expected, 1e-13 if not margin else 1e-12)


@pytest.mark.parametrize("margin", [0, 1e6])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("numbers", [(0.9, 0.999, 0.0), (0.9, 0.95, 0.0), (0.5, 0.9, 1e-3), (0.0, 0.0, 0.0)])
def test_adam(kind, numbers, margin):
    b1, b2, eps = numbers
    arrays = start(kind, margin)
    rate = 0.1 / max(1.0, max(float(np.abs(a).max()) for a in arrays.values()) ** (kind.degree - 1))
    expected = referee.adam(PROBLEM, arrays, STEPS, rate, b1=b1, b2=b2, eps=eps)
    close(seen(kind, f"adam:b1={b1},b2={b2},eps={eps}", arrays, rate), expected, 1e-13 if not margin else 1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_decay(kind):
    arrays = start(kind, 0)
    close(seen(kind, "gd", arrays, 0.5, decay="l2:0.1"), referee.descended(PROBLEM, arrays, STEPS, 0.5, lam=0.1))
    close(
        seen(kind, "sign", arrays, 0.1, decay=mf.optim.Decoupled(0.1)),
        referee.descended(PROBLEM, arrays, STEPS, 0.1, rule="sign", decoupled=0.1),
    )
    close(
        seen(kind, "adam", arrays, 0.1, decay="decoupled:0.1"),
        referee.adam(PROBLEM, arrays, STEPS, 0.1, b1=0.9, b2=0.999, eps=1e-8, decoupled=0.1),
    )


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
def test_spectral_and_nuclear_steps_are_those_of_the_singular_vectors(kind):
    arrays = start(kind, 0)
    g = {
        n: -np.array(a, dtype=float)
        for n, a in referee.gradient(PROBLEM, {n: referee.exact(a) for n, a in arrays.items()}).items()
    }
    for word, of in (("spectral", slice(0, 2)), ("nuclear", slice(0, 1))):
        path = mf.descend(PROBLEM, kind, word, init=arrays, rate=0.1, iterations=1)
        for n, a in arrays.items():
            U, _s, V = np.linalg.svd(g[n], full_matrices=False)
            # Two samples: W has a gradient of rank 2, and its polar factor is a partial isometry.
            assert np.abs(path.parameters(1)[n] - a - 0.1 * U[:, of] @ V[of]).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
@pytest.mark.parametrize("word", ["gd:momentum=0.5", "adam:b1=0.5,b2=0.5,eps=0", "sign:momentum=0.5", "spectral"])
def test_nothing_underflows_at_margin_a_million(word, kind):
    """With Speed the rate of gradient descent itself is e^1000000."""
    path = mf.descend(PROBLEM, kind, word, rate=mf.optim.Speed(0.2), iterations=500, init=start(kind, 1e6))
    assert path.ended.name == "steps" and np.isfinite(path.snapshots.theta).all()
    late = path.iteration >= 100
    speeds = np.diff(path.margin[late]) / np.diff(path.iteration[late])
    assert np.abs(speeds / 0.2 - 1).max() < 0.05
    assert path.log_excess[-1] < -0.9e6

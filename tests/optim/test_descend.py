"""Gradient descent and its normalised forms: the flow is their limit, and theory 3.7 holds for them."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.optim.descend import descend
from marginflow.problem import named


KINDS = [mf.KeyQuery(2), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_small_steps_follow_the_flow(kind):
    problem = named.load("sign-orbit")
    path = mf.integrate(problem, kind, seed=1, scale=0.5, until_margin=3.0)
    gaps = []
    for rate in (0.02, 0.01):
        count = round(float(np.exp(path.log_time[-1])) / rate)
        end = descend(problem, kind, rate=rate, iterations=count, seed=1, scale=0.5)
        # t is a whole number of steps only to rate / 2, which moves the weights by as much.
        gaps.append(np.abs(end.W() - path.W()).max() / np.abs(path.W()).max())
    assert gaps[1] < 2e-3 and gaps[1] < gaps[0] + 1e-3


def test_one_gradient_step_breaks_balance_at_second_order():
    problem = named.load("sphere:n=4,T=4,d=5,seed=0")
    for rate in (0.1, 0.01):
        path = descend(problem, mf.KeyQuery(3), rate=rate, iterations=1, scale=0.5)
        C = [p["K"].T @ p["K"] - p["Q"].T @ p["Q"] for p in (path.parameters(0), path.parameters(1))]
        dK, dQ = (path.parameters(1)[n] - path.parameters(0)[n] for n in ("K", "Q"))
        # dK = rate G Q, dQ = rate G'K (theory 3.7).
        assert np.allclose(C[1] - C[0], dK.T @ dK - dQ.T @ dQ, atol=1e-14)


def test_normalised_descent_reaches_margins_that_plain_descent_does_not():
    problem = named.load("sphere:n=5,T=4,d=6,seed=0")
    value = mf.solve(problem, "nuclear").value
    for rule in ("normalised", "normalised-separately"):
        path = descend(problem, mf.KeyQuery(6), rule=rule, iterations=4000)
        assert path.margin[-1] > 3e3
        assert np.linalg.norm(path.W(), "nuc") / path.margin[-1] / value < 1.02
    plain = descend(problem, mf.KeyQuery(6), rule="gradient", iterations=4000)
    assert plain.margin[-1] < 20
    assert (np.diff(plain.log_excess) < 0).all()


def test_bad_options_are_refused():
    problem = named.load("angle")
    for options in ({"rule": "adam"}, {"rate": 0.0}, {"iterations": 0}, {"rate": np.inf}):
        with pytest.raises(InputError):
            descend(problem, mf.Combined(), **options)

"""Two hundred steps end where PyTorch's own optimisers ended, on all four parameterisations."""

import numpy as np
import pytest
from torch_reference import AWAY, PROBLEM, cases, pinned, start

import marginflow as mf


RATES = {
    "gd": {"rate": 0.5},
    "gd:momentum=0.9": {"rate": 0.1},
    "gd:momentum=0.9,nesterov=true": {"rate": 0.1},
    "gd:momentum=0.8": {"rate": 0.1, "decay": "l2:0.01"},
    "adam": {"rate": 0.01},
    "adam:b1=0.8,b2=0.95,eps=0.0": {"rate": 0.02},
    "adam:eps=0.001": {"rate": 0.02, "decay": "decoupled:0.1"},
    "muon": {"rate": 0.02},
    "muon:nesterov=false": {"rate": 0.02, "decay": "decoupled:0.1"},
}


def test_every_rule_is_pinned():
    assert len(cases()) == 2 * 9 + 2 * 7
    assert {word for _, word in cases()} == set(RATES)


@pytest.mark.parametrize(("kind", "word"), cases(), ids=lambda x: getattr(x, "word", x))
def test_two_hundred_steps(kind, word):
    path = mf.descend(PROBLEM, kind, word, init=start(kind), iterations=200, **RATES[word])
    expected = pinned(kind, word)
    size = max(np.abs(a).max() for a in expected.values())
    for n, a in path.parameters(-1).items():
        assert np.abs(a - expected[n]).max() < AWAY * size
        assert np.abs(a - start(kind)[n]).max() > 1e-3

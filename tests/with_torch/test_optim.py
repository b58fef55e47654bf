"""Our rules are torch.optim's, step by step, and the arrays pinned for `make test` are still torch's."""

import numpy as np
import pytest
from torch_reference import AWAY, KINDS, PROBLEM, pinned, start
from torch_runs import OPTIMISERS, STEPS, exactly, trained

import marginflow as mf


CASES = [(kind, word) for kind in KINDS for word in OPTIMISERS if not (kind.diagonal and word.startswith("muon"))]


@pytest.mark.parametrize(("kind", "word"), CASES, ids=lambda x: getattr(x, "word", x))
def test_two_hundred_steps_are_the_same(kind, word, monkeypatch):
    exactly(monkeypatch)
    make, options = OPTIMISERS[word]
    theirs = trained(PROBLEM, start(kind), make)
    path = mf.descend(PROBLEM, kind, word, init=start(kind), iterations=STEPS, **options)
    for i, k in enumerate(path.iteration):
        if k:
            ours = path.parameters(i)
            size = max(np.abs(a).max() for a in theirs[k - 1].values())
            assert max(np.abs(ours[n] - a).max() for n, a in theirs[k - 1].items()) < AWAY * size
    for n, a in pinned(kind, word).items():
        assert np.abs(a - theirs[-1][n]).max() < AWAY * np.abs(a).max()

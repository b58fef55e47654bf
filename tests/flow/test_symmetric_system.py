"""The Cholesky form of a step's linear system is the dense one, and stands aside where it would not be."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.flow import rosenbrock
from marginflow.flow.point import point
from marginflow.flow.rosenbrock import step
from marginflow.flow.symmetric_system import SymmetricSystem
from marginflow.losses import parse_loss
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.problem.random import sphere


def late_point(kind, lead, *, better=False, loss="logistic", count=2):
    """Runs whose tops lead by `lead` and a little, in a force that all other tokens share; the best token is on top."""
    problem = sphere(n=5, T=6, d=8, seed=1)
    objective = Objective.of([problem], kind, parse_loss(loss))
    rng = np.random.default_rng(0)
    theta = np.stack([kind.map(8, 8).pack(kind.draw(8, 8, rng, 1.0)) for _ in range(count)])
    high = -lead - rng.uniform(0.0, 4.0, (count, 5, 6))
    tops = problem.scores.argmin(axis=1) if better else problem.optimal
    high[:, np.arange(5), tops] = 0.0
    return objective, point(objective, theta, Logits(high, np.zeros_like(high)).rebased())


@pytest.mark.parametrize("active", [None, np.array([[0, 1, 2, 3, 4, 5, 8, 9, 12, 20, 21, 27], [1, 2, *range(6, 16)]])])
@pytest.mark.parametrize("kind", [mf.Combined(), mf.Diagonal()], ids=lambda k: k.word)
@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_a_step_is_that_of_the_dense_system(kind, loss, active, monkeypatch):
    objective, at = late_point(kind, 40.0, loss=loss)
    if active is not None:
        # What is left out of a step has no force in either form.
        keep = np.zeros((2, 30), dtype=bool)
        np.put_along_axis(keep, active, True, axis=1)
        high = np.where(keep.reshape(2, 5, 6) | (at.s.high == 0.0), at.s.high, -1e4)
        at = point(objective, at.theta, Logits(high, np.zeros_like(high)))
        tops = at.force.top + 6 * np.arange(5)
        active = np.sort(np.stack([np.union1d(a, t) for a, t in zip(active, tops, strict=True)]), axis=1)
    h = np.array([2.0, 5.0])
    resolvent = objective.map.resolvent(at.theta, at.dtheta, at.G, 1.0 / h)
    assert SymmetricSystem.of(at, objective.tokens, resolvent, active) is not None
    monkeypatch.setattr(rosenbrock, "SYMMETRIC_FROM", 0)
    fast = step(objective, at, h, active)
    monkeypatch.setattr(rosenbrock, "SYMMETRIC_FROM", 10**9)
    dense = step(objective, at, h, active)
    for name in ("theta", "ds", "ds_middle", "theta_error", "ds_error"):
        a, b = getattr(fast, name), getattr(dense, name)
        assert np.abs(a - b).max() < 1e-11 * np.abs(dense.ds).max(), name
    assert np.abs(fast.ds).max() > 0.1


@pytest.mark.parametrize("why", ["a token weighs", "a better token pulls", "the kernel is not symmetric"])
def test_elsewhere_the_dense_system_is_solved(why):
    kind = mf.KeyQuery(8) if why == "the kernel is not symmetric" else mf.Combined()
    lead = 20.0 if why == "a token weighs" else 40.0
    objective, at = late_point(kind, lead, better=why == "a better token pulls")
    resolvent = objective.map.resolvent(at.theta, at.dtheta, at.G, np.ones(2))
    assert SymmetricSystem.of(at, objective.tokens, resolvent, None) is None

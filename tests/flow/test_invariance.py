"""Batches, files, and the SVM that does not depend on the loss; invariances are in test_equivariance.py."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named


@pytest.mark.parametrize("model", [mf.KeyQuery(4), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()])
def test_alone_and_in_a_batch(model):
    problem = named.load("sphere:n=2,T=3,d=4,seed=3")
    batch = mf.integrate_many(problem, model, seeds=[0, 1, 2], until_margin=1e4)
    for seed, member in enumerate(batch):
        alone = mf.integrate(problem, model, seed=seed, until_margin=1e4)
        assert alone.status is member.status
        np.testing.assert_array_equal(alone.selected(-1), member.selected(-1))
        assert alone.log_time[-1] == pytest.approx(member.log_time[-1], rel=20 * member.rtol)


def test_many_problems_in_one_call():
    problems = [named.load(f"sphere:n=3,T=3,d=3,seed={s}") for s in range(3)] + [named.load("angle")]
    paths = mf.integrate_many(problems, mf.Combined(), seeds=[0, 1, 2, 3], until_margin=1e3)
    assert [p.problem for p in paths] == problems


@pytest.mark.parametrize("model", [mf.KeyQuery(2), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()])
def test_saved_run_comes_back(tmp_path, model):
    path = mf.integrate(named.load("sign-orbit"), model, until_margin=1e3)
    path.save(tmp_path / "run.npz")
    again = mf.Trajectory.load(tmp_path / "run.npz")
    for name in ("margin", "log_time", "log_excess"):
        np.testing.assert_array_equal(getattr(again, name), getattr(path, name))
    np.testing.assert_array_equal(again.W(-1), path.W(-1))
    assert again.verdict == path.verdict or repr(again.verdict) == repr(path.verdict)
    assert set(again.parameters(-1)) == set(path.parameters(-1))


def test_logistic_loss_reaches_the_same_svm():
    problem = named.load("angle:c=0.5")
    path = mf.integrate(problem, mf.Combined(), loss="logistic", until_margin=1e6)
    W = path.W(-1) / path.margin[-1]
    assert path.status.name == "minimal_loss"
    np.testing.assert_allclose(W, mf.solve(problem, "frobenius").W, atol=1e-4)

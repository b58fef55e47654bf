"""Invariances of the flow (theory 3.7), batches, and files."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.problem import named


def orthogonal(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 2**32))
def test_rotations_rotate_the_path(seed):
    rng = np.random.default_rng(seed)
    problem = named.load(f"equal:n=3,T=3,d=4,seed={seed % 1000},dz=3")
    U, V, R = orthogonal(rng, 4), orthogonal(rng, 3), orthogonal(rng, 3)
    K, Q = 0.3 * rng.standard_normal((4, 3)), 0.3 * rng.standard_normal((3, 3))
    turned = mf.Problem(problem.X @ U.T, problem.z @ V.T, problem.scores)
    a = mf.integrate(problem, mf.KeyQuery(3), init=(K, Q), until_margin=50, rtol=1e-9)
    b = mf.integrate(turned, mf.KeyQuery(3), init=(U @ K @ R, V @ Q @ R), until_margin=50, rtol=1e-9)
    assert a.status is b.status
    np.testing.assert_allclose(b.W(0), U @ a.W(0) @ V.T, atol=1e-12)
    if a.log_time[-1] > 0 and a.status.name == "minimal_loss":
        Wa, Wb = U @ a.W(-1) @ V.T, b.W(-1)
        cosine = (Wa * Wb).sum() / np.sqrt((Wa * Wa).sum() * (Wb * Wb).sum())
        assert 1 - cosine < 1e-4


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 2**32))
def test_shift_permutation_and_padding_change_nothing(seed):
    rng = np.random.default_rng(seed)
    problem = named.load(f"sphere:n=3,T=3,d=3,seed={seed % 1000}")
    W = 0.2 * rng.standard_normal((3, 3))
    token = rng.permutation(3)
    changed = np.zeros((3, 5, 3))
    mask = np.zeros((3, 5), dtype=bool)
    scores = np.zeros((3, 5))
    places = [0, 2, 4]
    changed[:, places] = problem.X[:, token] + rng.standard_normal(3)
    scores[:, places], mask[:, places] = problem.scores[:, token], True
    other = mf.Problem(changed, problem.z, scores, mask=mask)
    a = mf.integrate(problem, mf.Combined(), init=W, until_margin=1e3)
    b = mf.integrate(other, mf.Combined(), init=W, until_margin=1e3)
    assert a.status is b.status
    assert [places[list(token).index(t)] for t in a.selected(-1)] == b.selected(-1).tolist()


@pytest.mark.parametrize("model", [mf.KeyQuery(4), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()])
def test_alone_and_in_a_batch(model):
    problem = named.load("sphere:n=2,T=3,d=4,seed=3")
    batch = mf.integrate_many(problem, model, seeds=[0, 1, 2], until_margin=1e4)
    for seed, member in enumerate(batch):
        alone = mf.integrate(problem, model, seed=seed, until_margin=1e4)
        assert alone.status is member.status
        np.testing.assert_array_equal(alone.selected(-1), member.selected(-1))
        assert alone.log_time[-1] == pytest.approx(member.log_time[-1], rel=1e-4)


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

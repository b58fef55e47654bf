"""Weights from anywhere beside the SVMs: signs are checked, controls decide, one matrix for two norms is said."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.problem.planted import spiked


def drawn(n=4, T=4, d=6, seed=0):
    draw = np.random.default_rng(seed)
    return mf.Problem(draw.standard_normal((n, T, d)), draw.standard_normal((n, d)), draw.standard_normal((n, T)))


def test_weights_with_a_wrong_token_have_no_ratio_and_name_it():
    """A random W and the right tokens: N(W) over a negative margin would be a ratio below 1."""
    problem = drawn()
    W = np.random.default_rng(1).standard_normal((6, 6))
    wrong = [i for i in range(problem.n) if (problem.X[i] @ W @ problem.z[i]).argmax() != problem.optimal[i]]
    assert wrong
    found = mf.against_svm(W, problem)
    assert found.wrong.tolist() == wrong and found.margin < 0
    assert all(np.isnan(s.ratio) and np.isnan(s.nearer_than) for s in found.standings)
    for i in wrong:
        assert f"{i}" in found.reading
    assert "right token on top" in str(found) and "no ratio" in str(found)


@pytest.mark.parametrize("seed", range(4))
def test_a_ratio_is_never_below_one(seed):
    problem = drawn(seed=seed)
    near = mf.solve(problem, "frobenius").W
    W = near + 0.02 * np.abs(near).max() * np.random.default_rng(seed).standard_normal(near.shape)
    found = mf.against_svm(W, problem, controls=2)
    if len(found.wrong):
        pytest.fail("the perturbation is too large for this test")
    for standing in found.standings:
        least = mf.solve(problem, standing.norm).certificate
        assert standing.ratio == pytest.approx(standing.norm.value(W) / found.margin / least.lower)
        assert standing.ratio >= 1 - 1e-12 and (standing.controls >= 1 - 1e-12).all()


@pytest.mark.parametrize(("norm", "other"), [("nuclear", "Frobenius"), ("frobenius", "nuclear")])
def test_each_svm_is_recognised_and_random_weights_are_not(norm, other):
    problem = spiked(6, 0.25).problem
    found = mf.against_svm(mf.solve(problem, norm, 1e-10).W, problem, seed=3)
    assert found[norm].ratio == pytest.approx(1.0, abs=1e-8) and found[norm].nearer_than == 1.0
    assert not found.coincide and "nearer to the" in found.reading
    assert found[norm].norm.label in found.reading.split("than all")[0]
    # The other one's ratio is what the norm of this solution is there, computed without this function.
    apart = next(s for s in found.standings if s.norm.label == other)
    W = mf.solve(problem, norm, 1e-10).W
    assert apart.ratio == pytest.approx(apart.norm.value(W) / mf.solve(problem, apart.norm).value, rel=1e-6)


def test_a_random_matrix_is_one_of_its_own_controls():
    """Whatever its ratios: over many draws the share of controls it beats is not extreme in either norm."""
    problem = drawn(n=3, T=3, d=5, seed=2)
    beaten = []
    for seed in range(12):
        W = np.random.default_rng(100 + seed).standard_normal((5, 5))
        logits = np.einsum("itd,id->it", problem.X, problem.z @ W.T)
        own = mf.Problem(problem.X, problem.z, (logits == logits.max(axis=1, keepdims=True)).astype(float))
        found = mf.against_svm(W, own, controls=6, seed=seed)
        assert len(found.wrong) == 0
        beaten.append([s.nearer_than for s in found.standings])
    assert (np.abs(np.mean(beaten, axis=0) - 0.5) < 0.25).all()


def test_one_matrix_for_both_norms_is_said():
    """One sample: rank one, where all matrix norms have one solution."""
    problem = drawn(n=1, T=2, d=3)
    found = mf.against_svm(mf.solve(problem, "nuclear").W, problem, controls=2)
    assert found.coincide and "same matrix" in found.reading


def test_the_same_seed_gives_the_same_controls_and_none_says_so():
    problem = spiked(4, 0.3).problem
    W = mf.solve(problem, "nuclear").W
    one, again, other = (mf.against_svm(W, problem, controls=3, seed=s)["nuclear"].controls for s in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert "Without controls" in mf.against_svm(W, problem, controls=0).reading


def test_copies_of_the_selected_token_are_selected_with_it():
    draw = np.random.default_rng(5)
    X = draw.standard_normal((2, 3, 4))
    X = np.concatenate([X, X], axis=1)
    problem = mf.Problem(X, draw.standard_normal((2, 4)), np.tile([1.0, 0.0, 0.0], (2, 2)))
    found = mf.against_svm(mf.solve(problem, "frobenius").W, problem, controls=3)
    assert all(np.isfinite(s.controls).all() for s in found.standings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": np.zeros((2, 3))}, "shape"),
        ({"W": np.full((6, 6), np.nan)}, "finite"),
        ({"norms": ("l1",)}, "full matrix"),
        ({"norms": ()}, "full matrix"),
        ({"controls": -1}, "controls"),
    ],
)
def test_bad_input_is_one_line(change, message):
    given = {"W": np.eye(6), "problem": drawn(), **change}
    with pytest.raises(InputError, match=message):
        mf.against_svm(**given)
    with pytest.raises(InputError, match="expected one of"):
        mf.against_svm(np.eye(6), drawn(), controls=0)["operator"]


def test_a_problem_may_be_named():
    W = np.eye(4, 3)
    assert str(mf.against_svm(W, "sphere:n=2,T=3,d=4,seed=1,dz=3", controls=0)) == str(
        mf.against_svm(W, mf.load("sphere:n=2,T=3,d=4,seed=1,dz=3"), controls=0)
    )

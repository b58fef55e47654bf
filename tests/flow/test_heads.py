"""Flows with several heads: every head at its own SVM, joint constants, verdicts that no later run contradicts."""

import math

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.flow.integrate import resume
from several_heads import lifted, of_one_head, several_heads


NORMS = {"w": "frobenius", "kq": "nuclear", "diag": "l2", "diag-kq": "l1"}


@pytest.fixture(scope="module")
def far():
    """Runs of two and three heads to margin 1e9, ragged, rows in any order, some left out."""
    out = []
    for word, seed, heads, loss in (("w", 0, 2, None), ("w", 7, 3, "logistic"), ("kq", 0, 2, None), ("kq", 7, 3, None)):
        problem = several_heads(seed, heads=heads, missing=1, ragged=seed > 0)
        path = mf.integrate(problem, word, seed=seed, until_margin=1e9, loss=loss)
        assert path.status is mf.FlowStatus.minimal_loss, path.reason
        each = [mf.solve(of_one_head(problem, h), NORMS[word]) for h in range(heads)]
        joint = mf.solve(problem, NORMS[word])
        out.append((path, each, joint, mf.diagnose(path, [joint])))
    return out


def test_every_head_is_at_its_own_svm(far):
    for path, each, *_ in far:
        W, problem = path.W(), path.problem
        assert W.shape == (len(each), problem.d, problem.d_z)
        for h, solution in enumerate(each):
            excess = solution.norm.value(W[h]) / solution.constraints.margins(W[h]).min() / solution.value - 1.0
            assert -1e-12 < excess <= (1e-8 if path.parameterization.word == "w" else 5e-2)


def test_the_time_constant_is_that_of_the_joint_norm(far):
    """e t gamma^2 -> 1 with gamma = 1/sqrt(sum F^2); 2 gamma e t log t -> 1 with gamma = 1/sum N (theory 5.1)."""
    for path, each, joint, table in far:
        e, t = path.log_excess[-1], path.log_time[-1]
        values = [solution.value for solution in each]
        if path.parameterization.word == "w":
            assert joint.value == pytest.approx(math.hypot(*values), rel=1e-9)
            assert abs(math.expm1(e + t - 2 * math.log(joint.value))) < 1e-5
        else:
            assert joint.value == pytest.approx(sum(values), rel=1e-9)
            late = table["value_ratio_nuclear"][-1] - 1.0
            assert abs(math.expm1(e + t + math.log(2 * t / joint.value))) < 1e-4 + late


def test_ratios_of_the_blocks_are_bounds_and_near_one(far):
    for path, _, joint, table in far:
        name = joint.norm.name
        R, value = table[f"R_{name}"][-1], table[f"value_ratio_{name}"][-1]
        assert 1.0 <= value <= R <= 1.0 + (1e-7 if path.parameterization.word == "w" else 5e-2)
        assert R == pytest.approx(table[f"duality_{name}"][-1] * table["slack"][-1], rel=1e-9)
        assert not table["conserved_drift"][-1] > 1e-6


def test_the_weights_are_those_of_the_lifted_problem_to_the_integration_error():
    """Tokens e_h x and queries e_h z make heads blocks of one W, whose flow knows nothing of heads."""
    problem = several_heads(1, outputs=3, tokens=4, d=3, missing=1)
    W0 = 0.1 * np.random.default_rng(2).standard_normal((2, 3, 3))
    blocks = np.zeros((2, 3, 2, 3))
    blocks[[0, 1], :, [0, 1]] = W0
    one = mf.integrate(problem, "w", init=W0, until_margin=30.0, loss="logistic")
    other = mf.integrate(lifted(problem), "w", init=blocks.reshape(6, 6), until_margin=30.0, loss="logistic")
    seen = other.W().reshape(2, 3, 2, 3)
    assert np.abs(seen[[0, 1], :, [0, 1]] - one.W()).max() < 1e-3
    assert not seen[0, :, 1].any() and not seen[1, :, 0].any()
    assert one.log_time[-1] == pytest.approx(other.log_time[-1], abs=1e-4)


def test_one_head_and_an_output_a_row_is_the_plain_problem_to_the_bit():
    plain = mf.load("sphere:n=4,T=5,d=6,seed=2")
    named = mf.Problem(plain.X, plain.z, plain.scores, output=[0, 1, 2, 3], head=[0] * 4)
    a, b = (mf.integrate(p, "kq", seed=1, until_margin=1e4) for p in (plain, named))
    assert a.W().shape == (6, 6) and all(np.array_equal(x, vars(b.snapshots)[k]) for k, x in vars(a.snapshots).items())


def test_verdicts_are_not_contradicted_by_what_comes_later():
    """Runs judged at 1e3 and followed to 1e6: who reached the minimum stays, who is trapped keeps its tokens."""
    said = []
    for seed in range(4):
        problem = several_heads(20 + seed, outputs=3, tokens=4, d=5)
        for word in ("w", "diag"):
            early = mf.integrate_many(problem, word, seeds=range(2), until_margin=1e3)
            late = mf.integrate_many(problem, word, seeds=range(2), until_margin=1e6)
            for a, b in zip(early, late, strict=True):
                if a.status is mf.FlowStatus.undecided:
                    continue
                said.append(a.status.name)
                assert b.status in (a.status, mf.FlowStatus.undecided), (a.reason, b.reason)
                assert (a.selected() == b.selected()).all()
    assert said.count("trapped") >= 3 and said.count("minimal_loss") >= 3, said


def test_files_and_going_on_keep_the_bits(tmp_path):
    problem = several_heads(3, outputs=3, tokens=4, d=4)
    whole = mf.integrate(problem, "kq", seed=0, until_margin=1e3)
    short = mf.integrate(problem, "kq", seed=0, until_margin=10.0)
    short.save(tmp_path / "run.npz")
    loaded = mf.Trajectory.load(tmp_path / "run.npz")
    assert (loaded.problem.head == problem.head).all() and loaded.parameters()["K"].shape == (2, 4, 4)
    assert np.array_equal(resume(loaded, until_margin=1e3).W(), whole.W())


@pytest.mark.parametrize(("word", "init"), [("w", [[1, 2], [3]]), ("kq", ([[1], [2, 3]], [[1], [2, 3]]))])
def test_a_start_of_lists_of_different_lengths_is_refused_in_a_sentence(word, init):
    with pytest.raises(InputError, match="init"):
        mf.integrate(several_heads(0), word, init=init)

"""Flows of several heads onto faces: the sum over heads of what one has, with one clock."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax
from test_step import exact

import marginflow as mf
from marginflow.diagnostics.on_faces import on_faces
from marginflow.diagnostics.ratio import comparison, final_ratio
from marginflow.flow.integrate import resume
from marginflow.flow.point import point
from marginflow.flow.rosenbrock import step
from marginflow.model.face_limits import face_limit
from marginflow.model.heads import draw, map_of, start
from marginflow.model.logits import Logits


NORMS = {"w": "frobenius", "kq": "nuclear", "diag": "l2"}


def classes_of_heads(seed=5, n=2, T=3, d=6, k=5):
    """Two heads with values of their own on the same tokens, which add up in R^k."""
    rng = np.random.default_rng(seed)
    X, z, V = rng.standard_normal((n, T, d)), rng.standard_normal((n, d)), 3.0 * rng.standard_normal((2, d, k))
    X, z = (np.repeat(v / np.linalg.norm(v, axis=-1, keepdims=True), 2, axis=0) for v in (X, z))
    head = np.tile([0, 1], n)
    values = np.einsum("rtd,rdk->rtk", X, V[head])
    labels = rng.integers(k, size=n)
    return mf.Problem(X, z, values=values, labels=labels, output=np.repeat(np.arange(n), 2), head=head)


def next_tokens_of_heads():
    """A bundled set whose rows take turns in two heads, with a cycle in each."""
    data = mf.load("next-token:number=3")
    return mf.Problem(data.X, data.z, data.scores, head=[0, 1, 0, 1, 0, 1])


@pytest.fixture(scope="module")
def runs():
    problem = classes_of_heads()
    return {word: mf.integrate(problem, word, loss="cross-entropy", until_margin=1e3) for word in NORMS}


def test_every_head_settles_on_its_faces_and_goes_to_the_joint_svm(runs):
    for word, path in runs.items():
        several = [(path.held.members[path.problem.head == h].sum(axis=1) > 1).any() for h in (0, 1)]
        assert all(several) and path.ended.name == "margin"
        svm = mf.solve(comparison(path).constraints, NORMS[word])
        value, R = comparison(path).norm_over_lead(NORMS[word]) / svm.certificate.lower, final_ratio(path)
        assert 1.0 - 1e-10 <= value <= R + 1e-10 and R - 1.0 < (5e-2 if word == "kq" else 5e-3), word
    end = on_faces(runs["w"])
    assert end.predicted and end.shares_off < 1e-11 and end.finite > 0.1 and end.finite_off < 1e-12
    assert runs["w"].status.name == "minimal_loss" and runs["w"].verdict.proof == "barrier"
    assert runs["kq"].status.name == "undecided"


def test_the_flow_is_that_of_scipy_on_the_loss_itself(runs):
    """To a lead of 10: beyond, the definition's own stiffness costs a plain integrator minutes."""
    path = runs["w"]
    problem, i = path.problem, int(np.argmax(path.margin >= 10.0))
    seen = np.einsum("rtd,re->rtde", problem.X, problem.z)

    def rate(log_time, W):
        p = softmax(np.einsum("rtde,rde->rt", seen, W.reshape(path.W(0).shape)[problem.head]), axis=1)
        u = np.zeros((problem.counts[0], problem.k))
        np.add.at(u, problem.output, np.einsum("rt,rtk->rk", p, problem.values))
        off = (softmax(u, axis=1) - np.eye(problem.k)[problem.labels])[problem.output]
        score = -np.einsum("rk,rtk->rt", off, problem.values)
        force = p * (score - (p * score).sum(axis=1, keepdims=True)) / problem.counts[0]
        out = np.zeros(path.W(0).shape)
        np.add.at(out, problem.head, np.einsum("rt,rtde->rde", force, seen))
        return np.exp(log_time) * out.ravel()

    first = int(np.argmax(path.log_time > -5.0))
    span = path.log_time[[first, i]]
    got = solve_ivp(rate, span, path.W(first).ravel(), method="LSODA", rtol=1e-7, atol=1e-9)
    assert np.abs(got.y[:, -1] - path.W(i).ravel()).max() < 1e-4 * np.abs(path.W(i)).max()


def test_next_tokens_of_two_heads_reach_the_joint_graph_svm_in_its_time():
    problem = next_tokens_of_heads()
    path, svm = mf.integrate(problem, "w", loss="log", until_margin=1e4), mf.solve(problem, "frobenius", loss="log")
    assert [path.limit.equal(False).head.tolist().count(h) > 0 for h in (0, 1)] == [True, True]
    assert path.verdict.proof == "convex" and 1.0 < final_ratio(path) < 1.001
    assert abs(math.expm1(path.log_excess[-1] + path.log_time[-1] - 2 * math.log(svm.value))) < 1e-6
    assert on_faces(path).finite_off < 1e-12


def test_a_run_goes_on_to_the_bits_it_would_have_had(runs):
    path = runs["kq"]
    part = mf.integrate(path.problem, "kq", loss="cross-entropy", until_margin=100.0)
    assert np.array_equal(resume(part, until_margin=1e3).snapshots.theta[-1], path.snapshots.theta[-1])


@pytest.mark.parametrize("kind", [mf.KeyQuery(8), mf.Combined()], ids=lambda k: k.word)
def test_a_step_with_margins_held_in_two_heads_keeps_its_order(kind):
    """Each head's multipliers stand beside its own tokens in the system."""
    problem = next_tokens_of_heads()
    limit = face_limit(problem, mf.losses.Log())
    objective = limit.objective(kind)
    arrays = start(kind, problem, draw(kind, problem, np.random.default_rng(1), 1.0))
    rng = np.random.default_rng(2)
    s = objective.tokens.mask * -(3.0 + rng.random(objective.tokens.mask.shape))
    top = limit.faces.reference[limit.rows]
    s[0, np.arange(len(top)), top] = 0.0
    at = point(objective, map_of(kind, problem).pack(arrays)[None], Logits.of(s, objective.tokens.mask))
    h, off = 0.05 if kind.word == "kq" else 0.1, []
    true = exact(objective, at, (h, 2 * h))
    active = np.concatenate(objective.tokens.places)[None]
    assert len(active[0]) == objective.tokens.mask.size
    for length in (2 * h, h):
        tried = step(objective, at, np.array([length]), active)
        off.append(max(np.abs(tried.theta - true[length][0]).max(), np.abs(tried.ds - true[length][1]).max()))
    assert off[1] > 1e-14 and np.log2(off[0] / off[1]) > 5.3

"""Traps of several heads: the bounds are those of the block-diagonal W, and each head gets what the others leave it."""

from dataclasses import replace

import numpy as np
import pytest

import marginflow as mf
from marginflow.selection import holding
from marginflow.selection.holding import Holding
from marginflow.selection.judge import Judge
from marginflow.selection.selected import Selected
from marginflow.selection.trap import Hold, confine
from one_head import confine_one
from several_heads import lifted, several_heads


@pytest.fixture(scope="module")
def run():
    """A trapped run of W, with the parts that its judge sees."""
    problem = several_heads(39, outputs=3, tokens=4, d=5)
    path = mf.integrate(problem, "w", seed=0, until_margin=1e4)
    assert path.status is mf.FlowStatus.trapped and path.verdict.proof == "confined", path.reason
    judge = Judge(problem, path.parameterization, path.loss)
    at = Selected.last(problem, path.snapshots)
    decisions = [judge._decision(h, at.tokens[rows]) for h, (rows, _) in enumerate(judge.heads)]
    return path, judge._parts(at, decisions, path.parameters())


def test_the_bounds_are_those_of_the_lifted_problem(run):
    path, parts = run
    whole = lifted(path.problem)
    solution = mf.solve(whole, "frobenius", 1e-10, path.selected(), against="worse")
    W = np.zeros((2, 5, 2, 5))
    W[[0, 1], :, [0, 1]] = path.W()
    margins = solution.constraints.margins(W.reshape(10, 10))
    log_slope = np.zeros(whole.n)
    for part, h in zip(parts, range(2), strict=True):
        log_slope[path.problem.head == h] = part.log_slope
    one = confine_one(whole, mf.Combined(), {"W": W.reshape(10, 10)}, solution, path.selected(), log_slope, margins)
    heads = confine(mf.Combined(), parts)
    lower = [part.solution.certificate.lower for part in parts]
    for h, own in enumerate(heads):
        assert own.acting == pytest.approx(one.acting, rel=1e-6)
        assert own.needed == pytest.approx(one.needed, rel=1e-6) and own.tied == one.tied
        assert own.reach**2 + lower[1 - h] ** 2 == pytest.approx(one.reach**2, rel=1e-6)
        assert own.reach >= np.linalg.norm(path.W()[h]) / own.acting


def test_a_head_that_is_far_from_its_svm_loosens_the_bound_of_the_other(run):
    """What a head has beyond its own least norm, the other might have."""
    _, parts = run
    tight = confine(mf.Combined(), parts)
    W = parts[1].arrays["W"]
    rows = parts[1].solution.constraints
    other = np.random.default_rng(0).standard_normal(W.shape)
    A = np.stack([np.outer(a, z).ravel() for a, z in zip(rows.a, rows.queries, strict=True)])
    off = other.ravel() - A.T @ np.linalg.lstsq(A.T, other.ravel(), rcond=None)[0]
    W = W + np.linalg.norm(W) * (off / np.linalg.norm(off)).reshape(W.shape)
    loose = confine(mf.Combined(), [parts[0], replace(parts[1], arrays={"W": W})])
    assert loose[0].reach > 1.1 * tight[0].reach


def test_the_loss_factors_of_the_heads_are_counted_on_one_scale(run):
    """A head whose outputs pull e^5 times less has a least constraint weight that all bounds are in units of."""
    _, parts = run
    weak = replace(parts[1], log_slope=parts[1].log_slope - 5.0)
    assert confine(mf.Combined(), [parts[0], weak])[0].reach > confine(mf.Combined(), parts)[0].reach


def test_keys_and_queries_of_several_heads_off_their_optimal_tokens_get_a_verdict():
    path = mf.integrate("heads:n=2,T=3,d=4,H=2,seed=2", "kq", seed=4, scale=3.0, until_margin=1.1e3)
    assert path.status is mf.FlowStatus.undecided and path.verdict.wrong
    assert "the selected tokens are a possible end" in path.reason and "of their SVM" in path.reason


@pytest.mark.parametrize("bound", ["stay", "keeps_to_line"])
def test_no_head_moves_alone(run, monkeypatch, bound):
    """Heads are one W: what a W of one head keeps says nothing of them."""
    _, parts = run
    within = [replace(bounds, needed=1e3) for bounds in confine(mf.Combined(), parts)]
    monkeypatch.setattr(holding, bound, lambda *_: Hold(True, 2e3, "told"))
    assert Holding(mf.Combined())(parts[:1], within[:1], False).holds
    assert not Holding(mf.Combined())(parts, within, False).holds

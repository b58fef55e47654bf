"""Multipliers that cancel next to those of a search: there where rows contradict each other, refused where not."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.svm.scaling import cancelling as module
from marginflow.svm.scaling.cancelling import cancelling
from marginflow.svm.scaling.presolve import presolve


def _operator(lean, equal=None):
    """400 rows on 4 x 5 weights; W of ones gives each of them a margin above 0 where `lean` is 3."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((400, 4))
    z = rng.standard_normal((80, 5))
    sample = np.repeat(np.arange(80), 5)
    a += lean * np.outer(np.sign(z.sum(axis=1))[sample], np.ones(4))
    return presolve(mf.Constraints(a, sample, z, equal=equal)).operator


@pytest.mark.parametrize("equal", [None, np.arange(400) < 7])
def test_contradicting_rows_cancel(equal):
    A = _operator(0.0, equal)
    rough = np.random.default_rng(1).random(400)
    dual = cancelling(A, rough)
    assert dual is not None and dual[~A.equal].min() >= 0.0 and dual[A.leads].any()
    assert np.linalg.norm(A.adjoint(dual)) <= 2e-13 * np.abs(dual).sum()
    assert np.linalg.norm(A.adjoint(rough)) >= 1e-3 * rough.sum()


def test_rows_that_weights_separate_do_not_and_are_given_up_soon(monkeypatch):
    """Without its rule the search makes twelve rounds before nothing is left."""
    rounds = []
    solve = module._solved
    monkeypatch.setattr(module, "_solved", lambda *system: rounds.append(1) or solve(*system))
    A = _operator(3.0)
    assert A.margins(np.ones(A.shape)).min() > 0.0
    assert cancelling(A, np.ones(400)) is None
    assert len(rounds) <= 4


def test_nothing_is_left_to_cancel():
    """Twenty rows on twenty weights contradict nothing, and no multipliers are no proof."""
    A = _operator(0.0)
    assert cancelling(A, (np.arange(400) < 20).astype(float)) is None
    assert cancelling(A, np.zeros(400)) is None


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_few_steps_are_made_where_thousands_of_rows_contradict(norm):
    rng = np.random.default_rng(0)
    rows = mf.Constraints(rng.standard_normal((3000, 8)), np.repeat(np.arange(600), 5), rng.standard_normal((600, 8)))
    found = mf.solve(rows, norm)
    assert found.status.name == "infeasible"
    assert found.iterations.get("first_order", 0) <= 50
    assert found.iterations.get("gradient", 0) <= 125

"""Verdicts: traps with every start named in theory 3.6 and 6.8, stability under rtol, and until='verdict'."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.flow.record import Record
from marginflow.flow.state import restored_state
from marginflow.model.objective import Objective
from marginflow.problem import named
from marginflow.selection.judge import Judge
from marginflow.selection.stability import decide


W_STARTS = {(0, 0): True, (1, 0): True, (1.5, 0): True, (-3, 0): True, (0, -4): True, (2, 0): False, (5, 0): False}


@pytest.mark.parametrize("start, reaches", W_STARTS.items())
def test_trap_at_infinity(start, reaches):
    path = mf.integrate(named.load("trap:infinity"), mf.Combined(), init=np.array(start, dtype=float)[:, None])
    assert path.status.name == ("minimal_loss" if reaches else "trapped")
    if not reaches:
        assert np.exp(path.log_excess[-1]) == pytest.approx((1 + np.exp(-1)) / 2 - np.exp(-1), rel=1e-9)
        assert path.verdict.wrong == ((1, 1),) and path.verdict.better_margin > 1


@pytest.mark.parametrize("scale, reaches", [(0.1, True), (1.2, True), (2.0, False)])
def test_trap_at_infinity_of_keys_and_queries(scale, reaches):
    init = (np.array([[scale], [0.0]]), np.array([[scale]]))
    path = mf.integrate(named.load("trap:infinity"), mf.KeyQuery(1), init=init)
    assert path.status.name == ("minimal_loss" if reaches else "trapped")


@pytest.mark.parametrize("w, reaches", [(-1, True), (0, True), (0.157, True), (0.158, False), (1, False), (5, False)])
def test_trap_of_a_finite_score(w, reaches):
    init = np.array([[w, 0.0], [0.0, 0.0]], dtype=float)
    path = mf.integrate(named.load("trap:finite"), mf.Combined(), init=init)
    assert path.status.name == ("minimal_loss" if reaches else "trapped")


def test_infeasible_data_is_never_called_minimal_loss():
    X = np.array([[[1.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]])
    problem = mf.Problem(X, np.ones((2, 1)), [[1.0, 0.0], [1.0, 0.0]])
    for model in (mf.Combined(), mf.KeyQuery(1)):
        assert mf.integrate(problem, model, max_steps=300).status.name != "minimal_loss"


def test_width_that_cannot_separate_is_never_called_minimal_loss():
    path = mf.integrate(named.load("rank-infeasible"), mf.KeyQuery(1), scale=0.3, max_steps=500)
    assert path.status.name != "minimal_loss"


@pytest.mark.parametrize("model", [mf.KeyQuery(10), mf.Combined()], ids=["kq", "w"])
def test_verdict_does_not_depend_on_the_tolerance(model):
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    rough = mf.integrate_many(problem, model, seeds=range(12), until_margin=1e4)
    fine = mf.integrate_many(problem, model, seeds=range(12), until_margin=1e4, rtol=1e-9)
    late = mf.integrate_many(problem, model, seeds=range(12), until_margin=1e8)
    for a, b, c in zip(rough, fine, late):
        assert a.status is b.status
        assert a.status is c.status or a.status.name == "undecided"


def test_stop_at_the_verdict_gives_the_same_verdict_sooner():
    problem = named.load("sphere:n=6,T=8,d=10,seed=1")
    full = mf.integrate_many(problem, mf.KeyQuery(10), seeds=range(4), until_margin=1e6)
    short = mf.integrate_many(problem, mf.KeyQuery(10), seeds=range(4), until_margin=1e6, until="verdict")
    for a, b in zip(full, short):
        assert a.status is b.status and b.steps <= a.steps
    assert sum(p.steps for p in short) < sum(p.steps for p in full)


def test_an_svm_is_asked_of_tokens_that_have_led_for_a_while(monkeypatch):
    """A run that changed its tokens a factor 1.2 of margin ago is undecided at no cost; 1.3 ago it is a trap."""
    path = mf.integrate(named.load("trap:infinity"), "w", init=np.array([[5.0], [0.0]]), until_margin=1e4)
    asked = []
    monkeypatch.setattr("marginflow.selection.judge.stability.decide", lambda *a: asked.append(a) or decide(*a))
    for held, decided in ((1.2, False), (1.3 + 1e-9, True)):
        record = Record(Judge(path.problem, path.parameterization, path.loss))
        objective = Objective.of([path.problem], path.parameterization, path.loss)
        record.add(restored_state(objective, path.snapshots, path.restart, len(path) - 1), 0)
        assert record.since == record.lead > 9e3
        record.since = record.lead / held
        assert record.decided is decided and len(asked) == decided


def test_a_run_gone_on_with_has_led_since_its_tokens_did():
    path = mf.integrate("sphere:n=6,T=8,d=10,seed=1", mf.KeyQuery(10), until_margin=1e3)
    record = Record(Judge(path.problem, path.parameterization, path.loss))
    tokens = (path.snapshots.high + path.snapshots.low).argmax(axis=2)
    first = np.flatnonzero((tokens != tokens[-1]).any(axis=1))[-1] + 1
    leads = np.arange(len(path)) + 5.0
    leads[-2] = 0.5
    record.goes_on(path.snapshots, leads)
    assert 0 < first < len(path) - 3 and record.since == 0.5
    record.goes_on(path.snapshots.first(len(path) - 2), leads[:-2])
    assert record.since == first + 5.0

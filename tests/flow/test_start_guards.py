"""Each guard between a theorem at the state reached and a word about the start, alone (docs/flow.md 7)."""

import dataclasses

import numpy as np
import pytest

import marginflow as mf
from marginflow.flow import integrate as door, neighbours
from marginflow.flow.endings import Stationarity
from marginflow.flow.neighbours import settled
from marginflow.flow.state import Settings, first_state
from marginflow.flow.trial import UPHILL, try_step
from marginflow.losses import parse_loss
from marginflow.model.objective import Objective
from marginflow.problem.random import sphere
from marginflow.trajectory.ended import Ended


SETTINGS = Settings(1e3, 1e-6, 1000)


class Held:
    """A record with only what `settled` looks at."""

    def __init__(self, path, drift=0.0, growth=0.0):
        self.path, self.growth, self.early_growth = path, growth, growth
        self.log_barrier = path.verdict.log_barrier
        self.drift = drift

    def restart(self):
        return dataclasses.replace(self.path.restart, drift=np.full(len(self.path), self.drift))

    def snapshots(self):
        return self.path.snapshots


def hill():
    """Two ends with the top of a hill of the loss between; the start a third of a rounding error from it."""
    x, scores = np.array([1.0, -1.0, 0.1]), np.array([1.0, 0.6, 0.0])

    def slope(w):
        p = np.exp(w * x - (w * x).max())
        p /= p.sum()
        return p * (scores - p @ scores) @ x

    low, high = -6.0, 6.0
    assert slope(low) < 0 < slope(high)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    X = np.zeros((2, 3, 2))
    X[0, :, 0], X[1, :, 1] = x, (1.0, 0.0, -1.0)
    return mf.Problem(X, np.ones((2, 2)), np.array([scores, [1.0, 0.0, -1.0]])), low


def from_hill(by, **more):
    problem, top = hill()
    return mf.integrate(problem, mf.Diagonal(), init=np.array([top + by, 0.3]), until_margin=1e4, **more)


def objective_of(path):
    return Objective.of([path.problem], path.parameterization, path.loss)


@pytest.fixture(scope="module")
def ordinary():
    path = mf.integrate(sphere(n=4, T=5, d=8, seed=3), mf.KeyQuery(8), seed=3, until_margin=1e3)
    assert path.status is mf.FlowStatus.minimal_loss
    return path


@pytest.mark.parametrize(("rtol", "drift", "kept"), [(1e-6, 9e-4, True), (1e-6, 2e-3, False), (1e-3, 0.2, False)])
def test_a_drift_of_what_is_conserved_takes_the_word_back(ordinary, rtol, drift, kept):
    settings = dataclasses.replace(SETTINGS, rtol=rtol)
    said = settled(ordinary.verdict, objective_of(ordinary), Held(ordinary, drift=drift), settings)
    assert (said == ordinary.verdict) if kept else ("drifted" in said.reason and said.proof == "")
    assert (said.status is mf.FlowStatus.undecided) == (not kept)


@pytest.mark.parametrize(("growth", "asked"), [(9e3, False), (2e4, True), (np.inf, True)])
def test_errors_that_may_have_decided_ask_for_runs_beside(ordinary, growth, asked, monkeypatch):
    calls = []
    monkeypatch.setattr(neighbours, "border_of_a_basin", lambda *args: calls.append(args))
    said = settled(ordinary.verdict, objective_of(ordinary), Held(ordinary, growth=growth), SETTINGS)
    assert said == ordinary.verdict and len(calls) == asked


def test_runs_beside_an_ordinary_start_agree_with_it(ordinary):
    held = Held(ordinary, growth=np.inf)
    assert settled(ordinary.verdict, objective_of(ordinary), held, SETTINGS) == ordinary.verdict


def test_after_an_interruption_nothing_more_is_integrated(ordinary, monkeypatch):
    monkeypatch.setattr(neighbours, "border_of_a_basin", lambda *args: pytest.fail("runs beside were started"))
    said = settled(ordinary.verdict, objective_of(ordinary), Held(ordinary, growth=np.inf), SETTINGS, False)
    assert said.status is mf.FlowStatus.undecided and "interrupted" in said.reason


def test_ctrl_c_does_not_start_runs_beside(monkeypatch):
    """Neither for the run that it stopped, nor for those of the batch that had ended."""
    problem, top = hill()
    inits = [np.array([top + by, 0.3]) for by in (1e-12, 1e-3)]
    monkeypatch.setattr(neighbours, "border_of_a_basin", lambda *args: pytest.fail("runs beside were started"))

    def stop(progress):
        if progress.finished:
            raise KeyboardInterrupt

    paths = mf.integrate_many(
        problem, mf.Diagonal(), inits=inits, until_margin=1e6, progress=stop, keep_partial=True, max_steps=5000
    )
    assert {path.ended for path in paths} <= {Ended.interrupted, Ended.margin}
    assert paths[0].status is mf.FlowStatus.undecided


@pytest.mark.parametrize("by", [0.0, 1e-14, -1e-14, 1e-9, -1e-9])
def test_neither_side_of_a_hill_is_called_from_its_top(by):
    """One side ends at the minimal loss and the other in a trap: rounding chose."""
    assert from_hill(by).status is mf.FlowStatus.undecided


def test_both_sides_of_a_hill_are_called_from_away():
    assert from_hill(0.03).status is mf.FlowStatus.minimal_loss
    assert from_hill(-0.03).status is mf.FlowStatus.trapped


def test_a_run_until_its_verdict_that_is_taken_back_says_so():
    path = from_hill(1e-12, until="verdict")
    assert path.ended is Ended.border and path.status is mf.FlowStatus.undecided
    on = door.resume(path, until_margin=1e4)
    assert on.ended is Ended.margin and on.status is mf.FlowStatus.undecided


def test_a_step_uphill_is_an_error():
    """From a valley between steep sides, with a step as long as it is wide many times over."""
    problem = mf.Problem([[[1.0], [0.0]], [[-1.0], [0.0]]], [[1.0], [1.0]], [[1.0, 0.0], [1.0, 0.0]])
    objective = Objective.of([problem], mf.Combined(), parse_loss("exponential"))
    state = first_state(objective, np.full((1, 1, 1), 0.1))
    for explicit in (True, False):
        trial = try_step(objective, dataclasses.replace(state, h=np.array([1e2])), 1e3, explicit)
        higher = objective.log_excess(trial.new.s)[0] > objective.log_excess(state.at.s)[0]
        assert higher == (trial.error[0] >= UPHILL)
        assert higher or not explicit


@pytest.mark.parametrize(("at", "still"), [(0.0, True), (1e-10, False)])
def test_a_pull_of_rounding_size_is_no_pull(at, still):
    """.1 + .2 against .3: the forces cancel but for the last digit."""
    problem = mf.Problem([[[0.1 + 0.2], [0.0]], [[-0.3], [0.0]]], [[1.0], [1.0]], [[1.0, 0.0], [1.0, 0.0]])
    objective = Objective.of([problem], mf.Combined(), parse_loss("exponential"))
    state = first_state(objective, np.full((1, 1, 1), at))
    assert state.at.G[0, 0, 0] != 0.0
    assert Stationarity(objective, state).reached(state)[0] == still
    path = mf.integrate(problem, mf.Combined(), init=[[at]], until_margin=10.0)
    assert path.ended is Ended.balanced and (path.steps == 1) == still


@pytest.mark.parametrize(
    ("plus", "minus", "said"),
    [
        (104.0, 96.0, ""),
        (104.0, 97.0, ""),
        (104.0, 104.0, "its clock reads"),
        (104.0, 100.0, "its clock reads"),
        (120.0, 80.0, "its clock reads"),
        (None, 96.0, "in as many steps"),
    ],
)
def test_a_time_that_the_start_decides_is_odd_in_the_move_and_changes_little(plus, minus, said):
    own, *beside = (neighbours._Events(reached=None if at is None else (at, 0.0)) for at in (100.0, plus, minus))
    found = neighbours._changed(own, beside, neighbours._Barrier(-1.0))
    assert found.startswith(said) or found.endswith(said)
    assert bool(found) == bool(said)

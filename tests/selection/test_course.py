"""Traps told because W moves only by multiples of what acts: against closed forms, a solver, and later states."""

import math
from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named
from marginflow.selection import course, holding
from marginflow.selection.course import Course, Run, stay
from marginflow.selection.trap import BEHIND, Part, confine, hold


def line_up(worse, better, *, gain=1.0, tied=()):
    """One query of ones; token 0 at 0 is selected, and the A_l of the others are the rows given."""
    tokens = [np.zeros(len(better)), *(-np.array(row) for row in (*worse, better, *tied))]
    scores = [0.0, *[-1.0] * len(worse), gain, *[0.0] * len(tied)]
    return mf.Problem([tokens], np.ones((1, 1)), [scores])


def across_coordinates(problem):
    """The same rows as those of W = diag(beta)."""
    return mf.Problem(problem.X, np.ones((1, problem.d)), problem.scores)


def part_of(problem, model, W):
    """A run on token 0 with these weights, and the bounds that its norm gives."""
    solution = mf.solve(problem, model.flow_norm, 1e-9, [0], against="worse")
    arrays = {"beta": W} if model.word == "diag" else {"W": W[:, None]}
    margins = solution.constraints.margins(W if model.word == "diag" else W[:, None])
    part = Part(problem, arrays, solution, np.array([0]), np.zeros(1), margins)
    return part, confine(model, [part])[0]


def run_of(worse, better, W, weights=None):
    """As for `Course`, of a run with one query 1."""
    problem = line_up(worse, better)
    part, within = part_of(problem, mf.Combined(), np.array(W))
    weights = np.ones(len(worse) + 1) if weights is None else weights
    return Run(part.solution, problem.constraints([0], against="better"), np.array(W), weights, within.held)


@pytest.mark.parametrize("model", [mf.Combined(), mf.Diagonal()], ids=["w", "diag"])
@pytest.mark.parametrize("h", [3.0, 0.5, -0.9, -1.5])
def test_what_no_constraint_pulls_on_stays_what_it_is(model, h):
    """W = (m, 300, 0) for good: the better margin over m is 1.2 + 300 h / m, its least at m = 2000 or at the end."""
    problem = line_up([(1.0, 0.0, 0.0)], (1.2, h, 0.0))
    if model.word == "diag":
        problem = across_coordinates(problem)
    part, within = part_of(problem, model, np.array([2000.0, 300.0, 0.0]))
    found, exact = stay(model, part, within), 1.2 + min(0.0, 0.15 * h)
    if exact < 1.0:
        assert found is None
        return
    assert found.holds and exact - 2e-5 < found.better <= exact
    assert "along 1 constraints" in found.sentence
    if abs(h) > 2.0:
        assert not hold(problem, part.solution, part.selected, within).holds


def test_a_token_that_is_seen_to_stay_behind_does_not_act():
    problem = line_up([(1.0, 0.0, 0.0), (1.5, 1.0, 0.0)], (1.1, 3.0, 0.0))
    W = np.array([2000.0, 100.0, 0.0])
    part, within = part_of(problem, mf.Combined(), W)
    assert not hold(problem, part.solution, part.selected, within).holds
    found = stay(mf.Combined(), part, within)
    assert "along 1 constraints" in found.sentence and 1.0999 < found.better <= 1.1
    early = mf.integrate(problem, mf.Combined(), init=W[:, None], until_margin=1.1e4)
    assert early.status is mf.FlowStatus.trapped and early.verdict.proof == "confined"
    late = mf.integrate(problem, mf.Combined(), init=W[:, None], until_margin=1e9)
    assert (late.selected(-1) == 0).all()


@pytest.mark.parametrize("beyond, told", [(10.0, False), (26.0, False), (60.0, True)])
def test_a_token_acts_until_it_weighs_next_to_nothing(beyond, told):
    """A margin of 1 + beyond/2000: e^-10 of what acts is too much; 26 would do at the SVM, but not all along."""
    problem = line_up([(1.0, 0.0), (1.0 + beyond / 2000.0, 1.0)], (1.1, 100.0))
    found = stay(mf.Combined(), *part_of(problem, mf.Combined(), np.array([2000.0, 1.0])))
    assert (found is not None) is told


def test_the_bound_is_that_of_all_weights_on_the_course():
    """Clarabel: W = tau start + a sum of what acts, 0 <= tau <= 1, acting margins >= 1, |W - tau off| <= reach."""
    draw = np.random.default_rng(3)
    for _ in range(6):
        worse = [(1.0, *draw.uniform(-0.5, 0.5, 4)) for _ in range(3)]
        better = (1.6, *draw.uniform(-1.0, 1.0, 4))
        run = run_of(worse, better, 2000.0 * np.array([1.5, *draw.uniform(-0.3, 0.3, 4)]))
        at = Course.of(run, np.ones(3, dtype=bool))
        x, tau = cp.Variable(3), cp.Variable()
        W = run.rows[:3].T @ x + tau * (run.start / run.held)
        within = cp.norm(W - tau * (at.off / run.held)) <= at.reach
        program = cp.Problem(cp.Minimize(run.rows[3] @ W), [run.rows[:3] @ W >= 1.0, within, tau >= 0.0, tau <= 1.0])
        least = float(program.solve(solver="CLARABEL"))
        assert least - 5e-3 < at.least_above(3, least - 1e-3) <= least + 1e-6


def exact(row, weights):
    return sum(Fraction(float(a)) * Fraction(float(w)) for a, w in zip(row, weights, strict=True))


def test_what_is_set_aside_never_helps_what_acts():
    """<A_l, off> <= 0 in rationals, and >= 0 for the part of a row across what acts: without lifting most fail."""
    draw, bare = np.random.default_rng(0), 0
    for _ in range(20):
        worse = [(1.0, *draw.standard_normal(5)) for _ in range(3)]
        run = run_of(worse, (1.2, *draw.standard_normal(5)), [4000.0, *draw.standard_normal(5)])
        acting = np.ones(3, dtype=bool)
        off = Course.of(run, acting).off
        assert all(exact(row, off) <= 0 for row in worse)
        span = run.rows[:3].T
        for weights in (run.start, run.rows[3]):
            plain = weights - span @ np.linalg.lstsq(span, weights, rcond=None)[0]
            bare += any(exact(row, plain) < 0 for row in worse)
            assert all(exact(row, run.lifted(plain, acting)) >= 0 for row in worse)
    assert bare > 10


def test_every_part_of_a_row_that_is_bounded_apart_is_lifted(monkeypatch):
    """A part that helps what acts by 1/10 is 1/10 that the bound over what acts does without."""
    run = run_of([(1.0, 0.0, 0.0)], (1.2, 0.5, 0.0), [2000.0, 300.0, 0.0])
    at = Course.of(run, np.ones(1, dtype=bool))
    before, seen = at.least_above(1, 0.0), []
    monkeypatch.setattr(
        Run, "lifted", lambda run, weights, acting: seen.append(weights) or weights + 0.1 * run.separating
    )
    assert before - at.least_above(1, 0.0) == pytest.approx(0.1, rel=1e-3)
    assert len(seen) == 1


def test_other_tokens_can_push_a_margin_by_their_impulse():
    run = run_of([(1.0, 0.0)], (1.2, -0.9), [2000.0, 300.0])
    at = Course.of(run, np.ones(1, dtype=bool))
    before = at.least_above(1, 0.0)
    at.__dict__["impulse"] = 1e-3
    assert before - at.least_above(1, 0.0) == pytest.approx(1e-3 * 0.9 * math.hypot(1.2, 0.9), rel=1e-2)


def test_the_impulse_is_that_of_tokens_as_near_as_allowed():
    """A token at `needed` times the margin m of one constraint, while that grows: the integral of e^-(needed - 1) m."""
    for weight in (1.0, 1e6):
        run = run_of([(1.0, 0.0)], (1.2, -0.9), [2000.0, 300.0], np.array([1.0, weight]))
        at = Course.of(run, np.ones(1, dtype=bool))
        room = (at.needed - 1.0) * run.held
        assert room >= BEHIND + math.log(1.0 + weight)
        assert at.impulse >= weight * math.exp(-room) / room
        assert 1e-9 < at.impulse < 1e-6


def test_many_constraints_may_pull_before_the_least_margin_has_grown():
    """The least margin may fall by the log of their number and gaps below what holds: that much more is added up."""
    few = Course.of(run_of([(1.0, 0.0)], (1.2, -0.9), [2000.0, 300.0]), np.ones(1, dtype=bool))
    heavy = Course.of(run_of([(1.0, 0.0)], (1.2, -0.9), [2000.0, 300.0], np.array([math.exp(500.0), 1.0])), few.acting)
    assert heavy.impulse / few.impulse == pytest.approx((4.1 + 2.0 * 500.0 / 2000.0) / 4.1, rel=1e-6)


def test_what_stays_behind_must_do_so_by_what_every_round_asked(monkeypatch):
    """A later round that asks for less does not forgive what an earlier one took from those that act."""
    problem = line_up([(1.0, 0.0, 0.0), (1.5, 1.0, 0.0)], (1.1, 3.0, 0.0))
    question = part_of(problem, mf.Combined(), np.array([2000.0, 100.0, 0.0]))
    asked = iter([1.2, 1.01, 1.01, 1.01])
    monkeypatch.setattr(Course, "needed", property(lambda _: next(asked)))
    assert stay(mf.Combined(), *question) is None


def test_where_tokens_tie_nothing_is_said():
    problem = line_up([(1.0, 0.0)], (1.2, 0.5), tied=[(0.5, 0.0)])
    assert stay(mf.Combined(), *part_of(problem, mf.Combined(), np.array([2000.0, 300.0]))) is None
    alone = line_up([(1.0, 0.0)], (1.2, 0.5))
    assert stay(mf.Combined(), *part_of(alone, mf.Combined(), np.array([2000.0, 300.0]))).holds


def test_factors_do_not_move_so():
    """Also where their norm is Euclidean: what moves is not W."""
    part, within = part_of(line_up([(1.0, 0.0)], (1.2, 0.5)), mf.Combined(), np.array([2000.0, 300.0]))
    assert stay(mf.KeyQuery(1), part, within) is None


def test_a_question_that_costs_too_much_is_not_asked(monkeypatch):
    question = part_of(line_up([(1.0, 0.0)], (1.2, 0.5)), mf.Combined(), np.array([2000.0, 300.0]))
    for name, limit in (("_TOKENS", 1), ("_NUMBERS", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(course, name, limit)
            assert stay(mf.Combined(), *question) is None


def test_a_trap_whose_norm_leaves_better_tokens_room_is_told(monkeypatch):
    """1e-5 above its SVM in norm, so that some W of that norm have a better margin of .995; it ends at 1.0107."""
    monkeypatch.setattr(holding, "keeps_to_line", lambda *_: None)
    problem = named.load("sphere:n=6,T=8,d=10,seed=107")
    early, late = (mf.integrate(problem, "w", seed=3, scale=10.0, until_margin=margin) for margin in (1e6, 1e7))
    assert early.status is mf.FlowStatus.trapped and "as W moves only along" in early.reason
    selected = early.selected(-1)
    for path in (early, late):
        least = problem.constraints(selected, against="worse").margins(path.W(-1)).min()
        better = problem.constraints(selected, against="better").margins(path.W(-1)) / least
        assert better.min() >= early.verdict.better_margin > 1.003

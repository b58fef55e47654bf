"""The line that W keeps next to: closed forms, the flow of the softmax itself, and later states of runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import marginflow as mf
from marginflow.problem import named
from marginflow.selection import asymptote, holding
from marginflow.selection.asymptote import ROOM, Course, Tokens, keeps_to_line
from marginflow.selection.trap import Confinement, Part, pulls
from marginflow.svm.program import Svm


def line_up(worse, better, *, gaps=None, tied=()):
    """One query 1; token 0 at 0 is selected, the A_l of the others are the rows given, worse ones behind by `gaps`."""
    tokens = [np.zeros(len(better)), *(-np.array(row) for row in (*worse, better, *tied))]
    gaps = np.ones(len(worse)) if gaps is None else np.array(gaps)
    return mf.Problem([tokens], np.ones((1, 1)), [[0.0, *-gaps, 1.0, *[0.0] * len(tied)]])


def course_of(worse, better, W, support=None, gaps=None):
    """The course of a run with query 1; all worse tokens are the support where it is not given."""
    problem = line_up(worse, better, gaps=gaps)
    norm, start = mf.solve(problem, "frobenius", 1e-9, [0], against="worse").norm, np.array(W)[:, None]
    gaps = np.ones(len(worse)) if gaps is None else np.array(gaps)
    tokens = [Svm(problem.constraints([0], against=which), norm) for which in ("worse", "better")]
    support = np.ones(len(worse), dtype=bool) if support is None else np.array(support)
    return Course.of(Tokens(tokens[0], start, np.log(gaps)), Tokens(tokens[1], start, np.zeros(1)), support)


def part_of(problem, model, W):
    """A run on token 0 with these weights."""
    solution = mf.solve(problem, model.flow_norm, 1e-9, [0], against="worse")
    arrays = {"beta": W} if model.word == "diag" else {"W": W[:, None]}
    margins = solution.constraints.margins(W if model.word == "diag" else W[:, None])
    return Part(problem, arrays, solution, np.array([0]), np.zeros(1), margins)


WITHIN = Confinement(acting=1e3, reach=1e3, needed=1.0, tied=0.0, held=1e3)


def test_the_line_of_two_orthogonal_constraints():
    """m_i = log(e^400 + k_i t): from equal margins to ones apart by log(k_1 / k_2) = 20, on a line 10 sqrt(2) away."""
    course = course_of([(1.0, 0.0), (0.0, 1.0)], (1.2, 1.2), [400.0, 400.0], gaps=[1.0, math.exp(-20.0)])
    line = course.asymptote()
    assert course.clock == pytest.approx(410.0, abs=1e-6)
    assert line.radius == pytest.approx(ROOM + 10.0 * math.sqrt(2.0), abs=1e-6)
    assert line.level == pytest.approx(390.0 + line.radius, abs=1e-5)
    assert line.better == pytest.approx([960.0 - 1.2 * math.sqrt(2.0) * line.radius], abs=1e-5)
    for log_t in np.linspace(390.0, 500.0, 23):
        W = np.logaddexp(400.0, np.array([0.0, -20.0]) + log_t)
        along = (W.sum() - 800.0) / 2.0
        assert math.hypot(*(W - np.array([410.0, 390.0]) - along)) <= line.radius - ROOM + 1e-6
    assert not math.hypot(*(W - np.array([400.0, 400.0]) - along)) < line.radius - ROOM - 1e-6


@pytest.mark.parametrize("better, least", [((1.2, 0.5, 0.0), 1.2), ((1.2, -0.5, 0.0), None), ((1.01, 0.5, 0.0), 1.01)])
@pytest.mark.parametrize("model", [mf.Combined(), mf.Diagonal()], ids=["w", "diag"])
def test_the_least_better_margin_is_that_at_the_start_or_in_the_limit(model, better, least):
    problem = line_up([(1.0, 0.0, 0.0)], better)
    if model.word == "diag":
        problem = mf.Problem(problem.X, np.ones((1, 3)), problem.scores)
    part = part_of(problem, model, np.array([2000.0, 300.0, 0.0]))
    found = keeps_to_line(model, part, WITHIN)
    # Not at its distance 0 from the line, but at that to which it may be pushed.
    first = (2400.0 - 150.0 - 1.3 * ROOM) / (2000.0 + ROOM)
    assert found.holds and found.better == pytest.approx(least or first, abs=1e-9)
    assert "a straight line" in found.sentence
    assert keeps_to_line(model, part, replace(WITHIN, needed=found.better)) is None


def test_a_direction_of_multipliers_that_are_not_positive_is_none():
    """<A_l, B> = 1 at B = (1, -2) = 7 A_1 - 2 A_2."""
    assert course_of([(1.0, 0.0), (3.0, 1.0)], (1.2, -1.2), [400.0, 0.0]) is None
    assert course_of([(1.0, 0.0), (0.0, 1.0)], (1.2, 1.2), [400.0, 400.0]) is not None


@pytest.mark.parametrize(
    "other, better, known", [((1.1, 1.0), 1.2, True), ((0.9, 1.0), 1.2, False), ((1.1, 1.0), 0.9, False)]
)
def test_a_token_that_falls_behind_the_support_has_no_line(other, better, known):
    course = course_of([(1.0, 0.0), other], (better, 0.0), [400.0, 400.0], support=[True, False])
    assert (course is not None) is known


@pytest.mark.parametrize("ahead, told", [(0.0, False), (3.0, False), (12.0, True)])
def test_better_tokens_push_until_they_are_far_behind(ahead, told):
    """Twice 1.5 e^(1.5 - x) / .5 at a margin of x beyond the clock: at 3 it is 1.3, below 1 without any of these."""
    course = course_of([(1.0, 0.0)], (1.5, 0.0), [400.0, 0.0])
    level = Tokens(course.better.svm, course.worse.start, np.array([200.0 - ahead]))
    line = replace(course, better=level).asymptote()
    assert (line is not None) is told


def test_a_worse_token_that_still_pushes_is_left_first():
    """At the clock 400 it pushes 1e4 sqrt(2) for good; on a line 21.6 - .04 to the side of W, e^-12."""
    course = course_of([(1.0, 0.0), (1.0001, 1.0)], (1.5, 1.5), [400.0, 0.0], support=[True, False])
    line = course.asymptote()
    aside = 12.0 + math.log(math.hypot(1.0001, 1.0) / 1e-4) - 0.04
    assert line.radius == pytest.approx(ROOM + aside, abs=1e-3)
    assert line.worse[1] == pytest.approx(-12.0, abs=1e-3) and 0.0 < line.pushed < ROOM


def test_what_is_left_first_takes_no_more_rows_than_allowed(monkeypatch):
    monkeypatch.setattr(asymptote, "_LARGEST", 1)
    course = course_of([(1.0, 0.0), (1.0001, 1.0)], (1.5, 1.5), [400.0, 0.0], support=[True, False])
    assert course.asymptote() is None


@pytest.mark.parametrize("lead, told", [(60.0, False), (99.0, False), (140.0, True)])
def test_terms_of_second_order_must_be_small(lead, told):
    assert (course_of([(1.0, 0.0)], (1.5, 0.0), [lead, 0.0]).asymptote() is not None) is told


def softmax_flow(problem, selected, W, clock, until):
    """W of exponential loss at clocks up to `until`, from its definition, as multiples of A_l; no force cancels."""
    rows = np.arange(problem.n)
    D = problem.scores[rows, selected][:, None] - problem.scores
    A = problem.X[rows, selected][:, None, :] - problem.X
    slope = -problem.scores[rows, selected]

    def force(s, w):
        m = np.einsum("ntd,de,ne->nt", A, w.reshape(W.shape), problem.z)
        p = np.exp(-m) / np.exp(-m).sum(axis=1, keepdims=True)
        short = (p * D).sum(axis=1)
        pull = (
            np.exp(np.where(A.any(axis=2), s - m, -np.inf))
            / np.exp(-m).sum(axis=1, keepdims=True)
            * (D - short[:, None])
        )
        pull *= np.exp(slope + short - slope.max())[:, None]
        return np.einsum("nt,ntd,ne->de", pull, A, problem.z).ravel()

    return solve_ivp(force, (clock, until), W.ravel(), "LSODA", rtol=1e-9, atol=1e-7, dense_output=True).sol


@pytest.mark.parametrize("thrown", [0.5, 3.0, 20.0])
def test_the_flow_keeps_to_its_line(thrown):
    """From a lead of 300, thrown off by so much, to one of 2,000, by LSODA: no farther from the line than at first."""
    problem, selected = named.load("sphere:n=3,T=4,d=5,seed=2"), np.array([0, 1, 0])
    solution = mf.solve(problem, "frobenius", 1e-9, selected, against="worse")
    better, worse = problem.constraints(selected, against="better"), solution.constraints
    aside = np.random.default_rng(int(10 * thrown)).standard_normal(solution.W.shape)
    W = 300.0 * solution.W + thrown * aside / np.linalg.norm(aside)
    slope = -problem.scores[np.arange(3), selected]
    log_kappa = np.log(pulls(problem, selected, slope - slope.max()).of(worse))
    ahead = np.log(-pulls(problem, selected, slope - slope.max()).of(better))
    tokens = Tokens(solution.svm, W, log_kappa), Tokens(Svm(better, solution.norm), W, ahead)
    course = Course.of(*tokens, solution.dual > 0.0)
    line, support = course.asymptote(), worse.vectors(False)[solution.dual > 0.0]
    multipliers = np.linalg.solve(support @ support.T, np.ones(len(support)))
    levels = course.clock + log_kappa[solution.dual > 0.0] - np.log(multipliers)
    off = np.linalg.solve(support @ support.T, levels - support @ W.ravel()) @ support
    first, B = W + off.reshape(W.shape), (multipliers @ support).reshape(W.shape)
    assert line.radius == pytest.approx(ROOM + np.linalg.norm(off), rel=1e-8)
    flow, before = softmax_flow(problem, selected, W, course.clock, course.clock + 1700.0), np.inf
    for ahead in np.linspace(0.0, 1700.0, 18):
        state = flow(course.clock + ahead).reshape(W.shape)
        distance = np.linalg.norm(state - first - ahead * B)
        assert distance <= min(line.radius - ROOM, before) + 1e-5
        ratio, before = better.margins(state).min() / worse.margins(state).min(), distance
        assert ratio >= course.least_better(line) - 1e-9
    assert course.least_better(line) > 1.5


def test_a_run_is_told_where_its_norm_leaves_too_much_open(monkeypatch):
    """At 1.3e3 instead of 1.9e4, by which it stops; at 1e7 it is on the same tokens."""
    problem, path = named.load("sphere:n=6,T=8,d=10,seed=22"), {}
    for name, margin in (("line", 1e6), ("late", 1e7)):
        path[name] = mf.integrate(problem, "w", seed=22, scale=1.0, until_margin=margin, until=UNTIL[name])
    monkeypatch.setattr(holding, "keeps_to_line", lambda *_: None)
    path["norm"] = mf.integrate(problem, "w", seed=22, scale=1.0, until_margin=1e6, until="verdict")
    assert path["line"].status is path["norm"].status is mf.FlowStatus.trapped
    assert "a straight line" in path["line"].reason and path["line"].verdict.proof == "confined"
    assert path["norm"].margin[-1] < 10.0 * path["line"].margin[-1] < 0.0
    selected = path["line"].selected(-1)
    assert np.array_equal(selected, path["late"].selected(-1))
    worse, better = (problem.constraints(selected, against=which) for which in ("worse", "better"))
    W = path["late"].W(-1)
    assert better.margins(W).min() / worse.margins(W).min() >= path["line"].verdict.better_margin - 1e-5


UNTIL = {"line": "verdict", "late": "margin"}


@pytest.mark.parametrize("size, told", [(1e28, True), (1e30, False)])
def test_scores_too_far_apart_for_the_terms_of_second_order_say_nothing(size, told):
    problem = line_up([(1.0, 0.0, 0.0)], (1.2, 0.5, 0.0))
    problem = mf.Problem(problem.X, problem.z, size * problem.scores)
    found = keeps_to_line(mf.Combined(), part_of(problem, mf.Combined(), np.array([2000.0, 300.0, 0.0])), WITHIN)
    assert (found is not None) is told


def test_of_what_is_no_w_or_ties_nothing_is_said():
    W = np.array([2000.0, 300.0])
    plain = part_of(line_up([(1.0, 0.0)], (1.2, 0.5)), mf.Combined(), W)
    assert keeps_to_line(mf.Combined(), plain, WITHIN).holds
    assert keeps_to_line(mf.KeyQuery(1), plain, WITHIN) is None
    tied = part_of(line_up([(1.0, 0.0)], (1.2, 0.5), tied=[(0.5, 0.0)]), mf.Combined(), W)
    assert keeps_to_line(mf.Combined(), tied, WITHIN) is None


def test_later_snapshots_on_the_same_tokens_share_the_direction(monkeypatch):
    made, before = [], asymptote.IndependentRows.of
    monkeypatch.setattr(asymptote.IndependentRows, "of", lambda svm: made.append(svm) or before(svm))
    part = part_of(line_up([(1.0, 0.0)], (1.2, 0.5)), mf.Combined(), np.array([2000.0, 300.0]))
    later = replace(part, arrays={"W": 2.0 * part.arrays["W"]}, margins=2.0 * part.margins)
    assert keeps_to_line(mf.Combined(), part, WITHIN).holds and keeps_to_line(mf.Combined(), later, WITHIN).holds
    assert len(made) == 1

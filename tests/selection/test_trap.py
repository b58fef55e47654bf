"""Trapped: what a run can still do is bounded where it is, not at the SVM; every part of the bound counts."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named
from marginflow.selection import stability, trap
from marginflow.selection.optimal_margins import OptimalMargins
from marginflow.selection.trap import hold
from one_head import confine_one


def between():
    """Two samples; the better token of sample 0 is behind at the SVM and at the start, and in front between them."""
    a, b, c = (-0.20539, -0.38765, 0.2634), (1.19148, 2.56986, -5.01596), (0.46664, 0.36542, -0.93681)
    X = [np.array([[0.0, 0, 0], a, b]), np.array([[0.0, 0, 0], c])]
    return mf.Problem(X, np.ones((2, 1)), [[0.0, -1.0, 1.0], [1.0, 0.0]])


FALSE_TRAPS = [
    (lambda: named.load("sphere:n=3,T=5,d=4,seed=115"), mf.Diagonal(), {"seed": 15, "scale": 1e4}, 1e4, 1e6),
    (lambda: named.load("sphere:n=4,T=4,d=6,seed=104"), mf.Diagonal(), {"seed": 4, "scale": 1e4}, 1e3, 1e6),
    (between, mf.Combined(), {"init": 999.5 * np.array([[-1.97582], [5.57877], [2.87319]])}, 1e3, 1e4),
]


@pytest.mark.parametrize("problem, model, start, early, late", FALSE_TRAPS, ids=["a", "b", "c"])
def test_runs_that_leave_later_are_not_called_trapped(problem, model, start, early, late):
    first = mf.integrate(problem(), model, **start, until_margin=early)
    last = mf.integrate(problem(), model, **start, until_margin=late)
    assert (first.selected(-1) != last.selected(-1)).any()
    assert first.status is mf.FlowStatus.undecided, first.reason


def test_the_bound_at_the_svm_alone_would_have_called_one_trapped():
    """The guard is the reach: at the optimum every better margin of (c) exceeds 1, within reach one does not."""
    make, _, start, early, _ = FALSE_TRAPS[2]
    problem = make()
    path = mf.integrate(problem, mf.Combined(), **start, until_margin=early)
    decision = stability.decide(problem, "frobenius", path.selected(-1))
    assert decision.verdict is stability.Verdict.attractor and decision.stability_lower > 2.0
    within = confined(problem, mf.Combined(), path)
    assert within.reach > 1.2 * decision.solution.value
    found = hold(problem, decision.solution, path.selected(-1), within)
    assert not found.holds and found.better < 0.0


def test_true_traps_are_told():
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    for model, early in ((mf.Combined(), 1e3), (mf.KeyQuery(10), 1e6)):
        for path in mf.integrate_many(problem, model, seeds=range(6), until_margin=early):
            assert path.status.name in ("trapped", "minimal_loss"), path.reason
            if path.status.name == "trapped":
                assert path.verdict.proof == "confined"
                assert path.verdict.better_margin > 1.0 and path.verdict.closeness < 1.01


def confined(problem, model, path):
    selected = path.selected(-1)
    solution = mf.solve(problem, "frobenius", 1e-9, selected, against="worse")
    slope = -problem.scores[np.arange(problem.n), selected]
    return confine_one(
        problem, model, path.parameters(-1), solution, selected, slope, solution.constraints.margins(path.W(-1))
    )


def on_the_line(scores, copies=1):
    """One query 1; token 0 at 1 (`copies` of it), the others at 0: margins are W for all."""
    X = np.array([[[1.0]] * copies + [[0.0]] * (len(scores) - 1)])
    return mf.Problem(X, [[1.0]], [[scores[0]] * copies + list(scores[1:])])


def by_hand(problem, W, selected=(0,), model=None, arrays=None, slope=None):
    selected = np.array(selected)
    model = model or mf.Combined()
    norm = "frobenius" if model.word == "w" else "nuclear"
    solution = mf.solve(problem, norm, 1e-9, selected, against="worse")
    slope = np.zeros(problem.n) if slope is None else slope
    margins = solution.constraints.margins(W)
    return confine_one(problem, model, arrays or {"W": W}, solution, selected, slope, margins)


def test_one_constraint_needs_no_room():
    """E = kappa e^-m exactly: norm over margin cannot rise at all."""
    within = by_hand(on_the_line([1.0, 0.0]), np.array([[2000.0]]))
    assert within.acting == pytest.approx(2000.0, rel=1e-12)
    assert 1.0 <= within.reach <= 1.0 + 2e-6


def test_gaps_of_different_size_cost_their_logarithm():
    within = by_hand(on_the_line([1.0, 0.0, 1.0 - 2.0**-10]), np.array([[2000.0]]))
    assert within.reach == pytest.approx(2000.0 / (2000.0 - np.log(1025.0)), rel=3e-6)


def test_samples_weigh_by_the_slope_of_the_loss_and_copies_by_their_share():
    X = np.zeros((2, 3, 2))
    X[0, 0] = X[0, 1] = (1.0, 0.0)
    X[1, 0] = (0.0, 1.0)
    problem = mf.Problem(X, np.eye(2), [[1.0, 1.0, 0.0], [1.0, 0.0, -1.0]], mask=[[1, 1, 1], [1, 1, 0]])
    W = np.diag([3000.0, 3000.0])
    within = by_hand(problem, W, (0, 0), slope=np.array([0.0, -3.0]))
    # kappa: 1/2 for two copies, e^-3 in the other sample.
    shares = np.array([0.5, np.exp(-3.0)])
    size = np.sqrt(2.0) * 3000.0
    assert within.reach == pytest.approx(size / (3000.0 - np.log(shares.sum() / shares.min())), rel=3e-6)


def test_factors_reach_as_far_as_what_they_hold_beside_their_product():
    """sqrt(|theta|^4 - |K'K - Q'Q|_*^2) / 2: imbalance of the columns in use is free, another column of K is not."""
    problem = mf.Problem([[[1.0, 0.0], [0.0, 0.0]]], [[1.0]], [[1.0, 0.0]])
    W = np.array([[2000.0], [0.0]])

    def reach(K, Q):
        return by_hand(problem, W, model=mf.KeyQuery(len(Q)), arrays={"K": np.array(K), "Q": np.array([Q])}).reach

    assert reach([[2000.0], [0.0]], [1.0]) == pytest.approx(1.0, rel=3e-6)
    root = np.sqrt(2000.0)
    assert reach([[root, 0.0], [0.0, root * np.sqrt(3.0)]], [root, 0.0]) == pytest.approx(2.0, rel=3e-6)


def test_better_tokens_must_be_twenty_units_behind_and_more_where_they_pull_harder():
    X = np.array([[[0.0, 0.0], [-1.0, 0.0], [-1.5, 0.0]]])
    W = np.array([[2000.0], [0.0]])
    for gain, extra in ((0.5, 0.0), (1000.0, np.log(1000.0))):
        problem = mf.Problem(X, [[1.0]], [[0.0, -1.0, gain]])
        within = by_hand(problem, W)
        assert within.needed == pytest.approx(1.0 + (20.0 + extra) / 2000.0, rel=1e-9)


def test_a_lead_that_is_too_small_for_its_gaps_gives_no_bound():
    assert by_hand(on_the_line([1.0, 0.0, 1.0 - 1e-9]), np.array([[15.0]])) is None


def test_a_tied_token_that_may_catch_up_is_no_trap():
    """The tied token trails at the SVM, but not at every W within reach."""

    def held(across):
        X = np.array([[[0.0, 0.0], [-1.0, 0.0], [-2.0, 0.0], [-0.1, across]]])
        problem = mf.Problem(X, [[1.0]], [[0.0, -1.0, 1.0, 0.0]])
        W = np.array([[2000.0], [300.0]])
        solution = mf.solve(problem, "frobenius", 1e-9, [0], against="worse")
        within = by_hand(problem, W)
        assert within.tied == pytest.approx(np.log(2.0) / within.acting)
        return hold(problem, solution, np.array([0]), within)

    assert held(0.1).holds
    found = held(2.0)
    assert not found.holds and "tied token 3" in found.sentence


def test_a_better_token_between_one_and_the_room_it_needs_is_no_trap():
    """Margin 1 + 10/2000 everywhere within reach: above 1, but its weight is e^-10 of what acts."""
    for beyond, holds in ((10.0, False), (25.0, True)):
        X = np.array([[[0.0], [-1.0], [-1.0 - beyond / 2000.0]]])
        problem = mf.Problem(X, [[1.0]], [[0.0, -1.0, 1.0]])
        W = np.array([[2000.0]])
        solution = mf.solve(problem, "frobenius", 1e-9, [0], against="worse")
        assert hold(problem, solution, np.array([0]), by_hand(problem, W)).holds is holds


def test_margins_over_the_set_against_its_closed_form():
    """Frobenius: N b - sqrt(U^2 - N^2) |A_b - b B|, with B = W*/N and b = <B, A_b>, where all constraints bind."""
    problem = mf.Problem([np.array([[0.0, 0, 0], [-1.0, 0, 0], [-1.3, 0.4, -0.2]])], [[1.0]], [[0.0, -1.0, 1.0]])
    solution = mf.solve(problem, "frobenius", 1e-9, [0], against="worse")
    better = problem.constraints([0], against="better")
    for reach in (1.0 + 1e-6, 1.01, 1.5, 4.0):
        closed = 1.3 - np.sqrt(reach**2 - 1.0) * np.hypot(0.4, 0.2)
        bound = OptimalMargins(solution, better, reach).least(0)
        assert closed - 2e-2 * (reach - 1.0) - 1e-7 <= bound <= closed + 1e-12


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "l1", "l2"])
def test_no_separating_weights_within_reach_are_below_the_bound(norm):
    problem = named.load("sphere:n=3,T=5,d=4,seed=1")
    selected = np.array([1, 1, 1])
    solution = mf.solve(problem, norm, 1e-9, selected, against="worse")
    if solution.status is not mf.SvmStatus.optimal:
        pytest.fail("the selection is to be separable")
    better = problem.constraints(selected, against="better")
    draw = np.random.default_rng(0)
    base = solution.beta if solution.norm.diagonal else solution.W
    for reach in (1.05, 1.5):
        bounds = [OptimalMargins(solution, better, reach * solution.value).least(c) for c in range(len(better))]
        for _ in range(200):
            W = base + draw.standard_normal(base.shape) * np.abs(base).max() * 10 ** draw.uniform(-3, 0)
            least = solution.constraints.margins(W).min()
            if least > 0 and solution.norm.value(W) / least <= reach * solution.value:
                assert (better.margins(W) / least >= np.array(bounds) - 1e-12).all()


def test_the_token_that_takes_over_is_named_also_where_it_is_a_tie():
    """Token 3 scores like the selected one and leads it at the SVM; the better token 2 never does."""
    X = np.array([[[0.0, 0.0], [-1.0, 0.0], [-2.0, -3.0], [0.1, -1.0]]])
    problem = mf.Problem(X, [[1.0]], [[0.0, -1.0, 1.0, 0.0]])
    decision = stability.decide(problem, "frobenius", np.array([0]))
    assert decision.verdict is stability.Verdict.left and decision.turns == (0, 3)
    start = np.array([[1000.0], [5000.0]])
    path = mf.integrate(problem, mf.Combined(), init=start, until_margin=2e3)
    assert path.status is mf.FlowStatus.undecided and path.verdict.leaves == (0, 3)
    assert "turns to token 3 when the margin is about 5e+04" in path.reason
    assert mf.integrate(problem, mf.Combined(), init=start, until_margin=4e4).selected(-1).tolist() == [0]
    assert mf.integrate(problem, mf.Combined(), init=start, until_margin=1e6).selected(-1).tolist() != [0]


def test_nothing_is_called_a_trap_before_a_lead_of_a_thousand():
    for until, word in ((500.0, "undecided"), (2e3, "trapped")):
        path = mf.integrate(
            named.load("trap:infinity"), mf.Combined(), init=np.array([[5.0], [0.0]]), until_margin=until
        )
        assert path.status.name == word, path.reason


def test_under_a_rank_cap_the_same_bound_decides_and_a_kkt_point_does_not():
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    path = mf.integrate(problem, mf.KeyQuery(2), seed=0, scale=0.1, until_margin=1e4)
    assert path.status.name in ("trapped", "undecided")
    if path.status.name == "undecided":
        assert "KKT point" in path.reason and "no bound" in path.reason
    else:
        assert path.verdict.proof == "confined"


def test_the_room_left_for_better_tokens_is_what_they_can_add():
    """Their pull over the least of the others, integrated over the growth of the norm, is below the room kept."""
    assert np.exp(-trap.BEHIND) / trap.BEHIND < trap.SPARE / 100.0


@pytest.mark.parametrize("energy, word", [(1.0, "trapped"), (None, "undecided"), (4.0, "undecided")])
def test_a_parameterisation_that_does_not_say_what_its_norm_costs_is_not_called_trapped(energy, word):
    """None says nothing; 4 says that |W| <= |theta| / 2, which the weights themselves contradict."""

    @dataclass(frozen=True)
    class Own(mf.Combined):
        word: str = field(default="own", init=False)
        least_energy: float | None = field(default=energy, init=False)

    start = np.array([[5.0], [0.0]])
    path = mf.integrate(named.load("trap:infinity"), Own(), init=start, until_margin=2e3)
    assert path.status.name == word, path.reason
    assert ("least_energy" in path.reason) is (energy is None)

"""The rule on problems whose ends are known, its undecided cases, and its certified margins."""

import numpy as np
import pytest

from marginflow import InputError, Problem, solve
from marginflow.attractors import attractors
from marginflow.problem import named
from marginflow.selection.optimal_margins import OptimalMargins
from marginflow.selection.stability import Verdict, decide


@pytest.mark.parametrize("word", ["w", "kq"])
def test_traps_have_exactly_the_ends_found_in_theory(word):
    finite = attractors(named.load("trap:finite"), word)
    assert [a.selected.tolist() for a in finite.attractors] == [[0], [1]]
    assert finite.attractors[1].excess == pytest.approx(0.038690, abs=1e-6)
    assert finite.attractors[1].stability == pytest.approx(2.0, rel=1e-9)
    infinite = attractors(named.load("trap:infinity"), word)
    assert [a.selected.tolist() for a in infinite.attractors] == [[0, 0], [0, 1]]
    assert infinite.attractors[1].excess == pytest.approx(0.316060, abs=1e-6)
    assert finite.complete and infinite.complete


def test_all_worst_tokens_are_never_an_end():
    problem = named.load("trap:infinity")
    decision = decide(problem, "frobenius", np.array([1, 1]))
    assert decision.verdict is Verdict.left and decision.solution is None


def test_a_better_margin_of_exactly_one_is_undecided():
    # One sample on the line: tokens at 1 (score 1), 0 (score 0) and 0 + nothing else but a better one at 0.
    X = np.array([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])
    problem = Problem(X, [[1.0]], [[1.0, 0.0, 2.0]])
    # W = (1, 0) is least for token 0 against token 1; the better token 2 has margin 1 exactly.
    decision = decide(problem, "frobenius", np.array([0]))
    assert decision.stability == pytest.approx(1.0, abs=1e-12)
    assert decision.verdict is Verdict.undecided
    found = attractors(problem, "w")
    assert not found.complete and len(found.undecided) == 1


def _face_problem(better):
    """Two orthogonal constraints whose nuclear optimum is any PSD matrix of unit diagonal (theory 6.6)."""
    X = np.zeros((2, 3, 2))
    X[0, 0], X[1, 0] = [1.0, 0.0], [0.0, 1.0]
    X[0, 2] = better
    scores = np.array([[1.0, 0.0, 2.0], [1.0, 0.0, -1.0]])
    X[1, 2] = [0.0, -1.0]
    return Problem(X, np.eye(2), scores)


@pytest.mark.parametrize(
    "better, verdict",
    [
        # margin of the better token at W = [[1, s], [s, 1]], -1 <= s <= 1, is 1 - b_1 - b_2 s.
        ([-1.5, 0.5], Verdict.attractor),
        ([1.0, 0.5], Verdict.left),
        ([0.0, 0.5], Verdict.undecided),
    ],
)
def test_non_unique_svm_is_judged_over_the_whole_face(better, verdict):
    assert decide(_face_problem(better), "nuclear", np.array([0, 0])).verdict is verdict


def test_certified_margins_enclose_the_true_ones():
    for seed in range(4):
        problem = named.load(f"sphere:n=4,T=4,d=6,seed={seed}")
        selected = np.array([1, 0, 2, 0])
        better = problem.constraints(selected, against="better")
        for norm in ("frobenius", "nuclear", "l2", "l1"):
            solution = solve(problem, norm, 1e-10, selected, against="worse")
            if solution.status.name != "optimal":
                continue
            margins = OptimalMargins(solution, better)
            # A much rougher solution bounds the same optimum.
            rough = OptimalMargins(solve(problem, norm, 1e-4, selected, against="worse"), better)
            for b, value in enumerate(margins.values):
                low, high = margins.least(b), margins.most(b)
                assert low <= value + 1e-7 and value - 1e-7 <= high
                assert high - low < 1e-3 * (1 + abs(value)), (seed, norm, b)
                assert rough.least(b) <= high and low <= rough.most(b)


def test_ties_are_one_end_and_the_selected_token_leads_them():
    # Tokens 1 and 2 of sample 0 tie; with either, the other one is behind: one end, listed once.
    base = named.load("sphere:n=3,T=4,d=8,seed=0")
    scores = base.scores.copy()
    order = np.argsort(-scores[0])
    scores[0, order[2]] = scores[0, order[1]]
    problem = Problem(base.X, base.z, scores)
    found = attractors(problem, "w")
    keys = [tuple(scores[np.arange(3), a.selected]) for a in found.attractors]
    assert len(keys) == len(set(keys))
    for a in found.attractors:
        assert found.find(a.selected) is a
        tied = a.selected.copy()
        if tied[0] in order[1:3]:
            tied[0] = order[1] + order[2] - tied[0]
        assert found.find(tied) is a


def test_equal_scores_list_only_leading_tied_tokens():
    problem = named.load("equal:n=3,T=4,d=6,seed=0")
    for a in attractors(problem, "w").attractors:
        assert a.decision.solution is not None
        W = a.decision.solution.W
        logits = np.einsum("nld,de,ne->nl", problem.X, W, problem.z)
        assert (logits.argmax(axis=1) == a.selected).all()


def test_twins_of_unequal_score_are_never_selected():
    base = named.load("sphere:n=2,T=4,d=6,seed=0")
    X = base.X.copy()
    tokens = [t for t in range(4) if t != base.optimal[0]][:2]
    X[0, tokens[1]] = X[0, tokens[0]]
    found = attractors(Problem(X, base.z, base.scores), "w")
    assert not any(a.selected[0] in tokens for a in found.attractors)


def test_a_rank_cap_makes_the_list_incomplete():
    import marginflow as mf

    found = attractors(named.load("sphere:n=3,T=3,d=4,seed=0"), mf.KeyQuery(width=1))
    assert not found.complete and any("caps the rank" in why for why in found.incomplete_because)
    # No W of rank one separates here: the minimal loss is not an end that width 1 can meet.
    found = attractors(named.load("rank-infeasible"), mf.KeyQuery(width=1))
    assert not found.complete and len(found) == 0
    assert any("rank 2" in d.reason and not d.selected.any() for d in found.undecided)


def test_a_search_cut_short_says_so_and_still_lists_the_minimal_loss():
    found = attractors(named.load("sphere:n=4,T=4,d=8,seed=2"), "w", limit=50)
    assert not found.complete and "stopped after 50" in found.incomplete_because[0]
    assert found.attractors[0].optimal and not found.only_minimal_loss


@pytest.mark.parametrize("limit", [0, -3, True])
def test_a_limit_of_nothing_is_refused(limit):
    with pytest.raises(InputError, match="limit: got"):
        attractors(named.load("sphere:n=3,T=3,d=4"), "w", limit=limit)


def test_an_end_as_high_as_zero_weights_is_not_excluded_near_them():
    """Scores 1, 0, -1: the loss at W = 0 is that of the middle token, and starts near zero may lose a little more."""
    line = np.array([[[-3.0], [1.0], [0.0]]])
    found = attractors(Problem(line, [[1.0]], [[1.0, 0.0, -1.0]]), "w")
    assert found.complete and found.zero_loss == 1.0
    assert [end.selected.tolist() for end in found.attractors] == [[0], [1]] and len(found.below(1.0)) == 1
    assert found.sentence.endswith("a start near zero can meet each")
    X = np.concatenate([line, line])
    both = attractors(Problem(X, [[1.0], [1.0]], [[1.0, 0.0, -1.0]] * 2, output=[0, 0], head=[0, 1]), "w")
    assert both.count == 4 and len(both.below(both.zero_loss)) == 3
    assert both.sentence.endswith("a start near zero can meet each")


def test_the_only_attractor_is_said_only_when_proved():
    found = attractors(named.load("sphere:n=4,T=4,d=8,seed=2"), "w")
    assert found.only_minimal_loss and found.sentence.startswith("the minimal loss is the only attracting")
    # Two points left and right of the best one: every start stays finite, and no list shows that.
    middle = Problem([[[0.0], [1.0], [-1.0]]], [[1.0]], [[1.0, 0.0, 0.0]])
    assert not attractors(middle, "w").infinite


def test_ctrl_c_ends_the_search_and_makes_no_list():
    calls = []

    def interrupt(text):
        calls.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attractors(named.load("sphere:n=4,T=4,d=8,seed=2"), "w", progress=interrupt)
    assert len(calls) == 1


@pytest.mark.parametrize("options", [{"sample": 0}, {"seed": -1}, {"processes": 0}, {"sample": 2, "scales": (0.0,)}])
def test_bad_options_are_one_error(options):
    with pytest.raises(InputError):
        attractors(named.load("trap:finite"), "w", **options)


def test_unknown_word():
    with pytest.raises(InputError, match="expected one of kq, w"):
        attractors(named.load("trap:finite"), "qk")

"""Runs end in listed attractors; every exception is explained by name."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors import attractors
from marginflow.attractors.sentence import known_ends
from marginflow.attractors.shares import missing, upper, wilson
from marginflow.claims.run_ends import ends_are_attractors, run_ends
from marginflow.problem import named
from marginflow.selection.stability import Verdict


LATE = 1.0005
"""R at margin 1e6 of a run that is at its SVM solution; factored weights on the way there are above this."""


def sphere(sizes, count):
    n, T, d = sizes
    return [named.load(f"sphere:n={n},T={T},d={d},seed={s}") for s in range(count)]


def check(problems, word, seeds, scale):
    """Every run is listed, or still away from the SVM solution of its tokens (late); returns the late ones."""
    ends = run_ends(problems, word, seeds=seeds, scale=scale)
    for e in ends.exceptions:
        assert word in ("kq", "diag-kq"), e
        assert e.verdict is Verdict.left and e.ratio > LATE, e
    return len(ends.exceptions), ends.total


@pytest.mark.parametrize("word", ["w", "kq", "diag", "diag-kq"])
def test_a_dozen_runs_end_in_attractors(word):
    problems = sphere((4, 4, 8), 3)
    late = runs = 0
    for scale in (0.1, 1.0):
        missed, total = check(problems, word, range(2), scale)
        late, runs = late + missed, runs + total
    assert runs == 12 and late <= 2


@pytest.mark.long
@pytest.mark.parametrize("word", ["w", "kq", "diag", "diag-kq"])
def test_two_thousand_runs_end_in_attractors(word):
    late = runs = 0
    for sizes, count in (((4, 4, 8), 10), ((3, 6, 6), 8), ((5, 3, 5), 7)):
        for scale in (0.1, 1.0):
            missed, total = check(sphere(sizes, count), word, range(10), scale)
            late, runs = late + missed, runs + total
    assert runs == 500 and late <= 50


def test_attractors_attract():
    """From a start at its own SVM direction, far out, every listed selection stays (theorem of section 2)."""
    for word, model in (("w", mf.Combined()), ("diag", mf.Diagonal())):
        found = attractors(named.load("sphere:n=4,T=4,d=8,seed=3"), word)
        assert len(found) > 1
        for end in found.attractors:
            solution = end.decision.solution
            # Far enough out that better tokens weigh e^-60 of the worse ones.
            far = 60.0 / min(1.0, end.stability - 1.0)
            W = far * (solution.beta if word == "diag" else solution.W)
            path = mf.integrate(found.problem, model, init=(W,), until_margin=100.0 * far)
            assert (path.selected(-1) == end.selected).all()


def test_selections_the_rule_rejects_are_left():
    """From its own SVM direction, far out, a selection with a better margin below 1 is not kept."""
    from marginflow.selection.stability import decide

    problem = named.load("sphere:n=4,T=4,d=8,seed=3")
    left = 0
    for seed in range(4):
        selected = np.random.default_rng(seed).integers(4, size=4)
        decision = decide(problem, "frobenius", selected)
        if decision.verdict is Verdict.left and decision.solution is not None:
            W = 60.0 * decision.solution.W
            path = mf.integrate(problem, mf.Combined(), init=(W,), until_margin=1e4)
            assert not (path.selected(-1) == selected).all()
            left += 1
    assert left >= 2


def test_shares_and_their_intervals():
    found = attractors(named.load("trap:infinity"), "w", sample=30, scales=(0.1, 5.0))
    best, trap = found.attractors
    assert best.shares[0].count == 30 and trap.shares[1].count > 0
    assert sum(s.count for a in found.attractors for s in a.shares) == 60
    low, high = trap.shares[1].interval
    assert low < trap.shares[1].value < high
    assert found.missing is not None and 0 < found.missing < 0.12


def test_intervals_against_tabulated_values():
    # Newcombe 1998, table I: 81 of 263 and 0 of 20, score method.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert upper(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-12)
    assert missing([]) == 1.0


def test_missing_share_covers_the_truth():
    """300 worlds with 30 rare ends each: the bound holds in at least 95 % up to three standard deviations."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        p = draw.dirichlet(np.full(30, 0.3))
        runs = [(np.array([k]), True) for k in draw.choice(30, size=60, p=p)]
        seen = {int(k[0]) for k, _ in runs[::2]}
        held += 1.0 - sum(p[k] for k in seen) <= missing(runs)
    assert held >= 300 * 0.95 - 3 * np.sqrt(300 * 0.95 * 0.05)


def test_the_claim_numbers():
    assert ends_are_attractors(sphere((4, 4, 8), 2), "w", seeds=range(5)) == (10, 10)


def test_known_ends_is_cheap_or_silent():
    assert known_ends(named.load("digits"), "w") is None
    found = known_ends(named.load("sphere:n=4,T=4,d=8,seed=2"), "w")
    assert found is not None and found.only_minimal_loss


def test_the_loss_filter_agrees_with_small_starts():
    """trap:infinity: the trap lies above the loss of zero weights, and no small start has met it."""
    found = attractors(named.load("trap:infinity"), "kq", sample=20, scales=(0.01,))
    assert [a.optimal for a in found.below(found.zero_loss)] == [True]
    assert found.attractors[0].shares[0].count == 20

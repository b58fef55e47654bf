"""Brute force over all selections, by other solvers than the package's, equals the pruned list."""

import itertools

import numpy as np
import pytest
from brute_force import brute, stack

from marginflow import Problem
from marginflow.attractors import attractors
from marginflow.problem import named


FAMILIES = ("sphere", "gaussian")
SHAPES = [(3, 3, 5, 0), (4, 3, 8, 0), (3, 4, 6, 3), (5, 2, 4, 0), (2, 6, 7, 0), (4, 4, 8, 0), (3, 4, 3, 2)]


def cases(count):
    for k in range(count):
        n, T, d, dz = SHAPES[k % len(SHAPES)]
        yield f"{FAMILIES[k % 2]}:n={n},T={T},d={d},seed={k}" + (f",dz={dz}" if dz else "")


def check(spec, word, norm):
    problem = named.load(spec)
    if problem.d != problem.d_z and norm in ("l1", "l2"):
        return 0
    passed, doubtful = brute(problem, norm)
    found = attractors(problem, word)
    listed = {tuple(a.selected.tolist()) for a in found.attractors}
    undecided = {tuple(d.selected.tolist()) for d in found.undecided}
    assert listed - doubtful == passed - undecided, spec
    assert undecided <= doubtful, spec
    assert found.complete == (not undecided)
    for a in found.attractors:
        assert a.gap < 1e-8 and a.decision.stability_lower > 1.0
        assert a.optimal == (a.excess == 0.0) == bool((a.selected == problem.optimal).all())
    return len(passed)


@pytest.mark.parametrize("word, norm", [("w", "frobenius"), ("diag", "l2")])
def test_euclidean_lists_equal_brute_force(word, norm):
    ends = [check(spec, word, norm) for spec in cases(28)]
    assert max(ends) > 1


@pytest.mark.parametrize("spec", ["sphere:n=3,T=3,d=3,seed=13", "sphere:n=3,T=4,d=3,seed=2"])
def test_selections_that_only_later_samples_hold_up_are_not_pruned(spec):
    """Ends whose first samples alone are none: what the open samples can add decides whether they are looked at."""
    assert check(spec, "w", "frobenius") > 1


def test_l1_lists_equal_brute_force():
    assert max(check(spec, "diag-kq", "l1") for spec in cases(6)) > 1


@pytest.mark.long
@pytest.mark.parametrize("word, norm", [("w", "frobenius"), ("diag", "l2"), ("diag-kq", "l1")])
def test_two_hundred_lists_equal_brute_force(word, norm):
    for spec in cases(200):
        check(spec, word, norm)


def check_nuclear(spec):
    """The pruned list against one certified solve for each selection."""
    from marginflow.selection.stability import Verdict, decide

    problem = named.load(spec)
    every = [np.array(s) for s in itertools.product(*(np.flatnonzero(m) for m in problem.mask))]
    passed, doubtful = set(), set()
    for selected in every:
        verdict = decide(problem, "nuclear", selected).verdict
        if verdict is not Verdict.left:
            (passed if verdict is Verdict.attractor else doubtful).add(tuple(selected.tolist()))
    found = attractors(problem, "kq")
    assert {tuple(a.selected.tolist()) for a in found.attractors} == passed, spec
    assert {tuple(d.selected.tolist()) for d in found.undecided} == doubtful, spec
    return len(passed)


def test_nuclear_lists_equal_brute_force():
    assert max(check_nuclear(spec) for spec in cases(7)) > 1


@pytest.mark.long
def test_two_hundred_nuclear_lists_equal_brute_force():
    for spec in cases(200):
        check_nuclear(spec)


@pytest.mark.parametrize("diagonal, norm", [(False, "nuclear"), (True, "l1")])
def test_the_bounds_of_the_spectral_screen_hold(diagonal, norm):
    """Before anything has converged: no multipliers above the value, no weights below it, at every depth."""
    from marginflow import solve
    from marginflow.attractors.candidates import Candidates
    from marginflow.attractors.growth import Growth
    from marginflow.attractors.inseparable import constraints
    from marginflow.attractors.spectral import SpectralScreen

    candidates = Candidates.of(named.load("sphere:n=3,T=4,d=8,seed=1"), diagonal)
    screen = SpectralScreen.of(candidates, Growth.of(candidates))
    nodes, finite = screen.root(), 0
    for depth in range(1, 4):
        nodes = screen.expand(nodes)
        for steps in (0, 5, 20) if depth < 3 else (0,):
            nodes = screen.relax(nodes, steps) if steps else nodes
            for alpha, low, high in zip(nodes.alpha, nodes.lower, nodes.upper):
                worse = solve(constraints(candidates, alpha, better=False), norm)
                every = solve(constraints(candidates, alpha, better=True), norm)
                assert low <= every.value * (1 + 1e-9), (alpha, steps)
                assert high >= worse.value * (1 - 1e-9), (alpha, steps)
                finite += bool(0 < high < np.inf) and low > 0.0
    assert finite > 20


def test_nuclear_lists_equal_brute_force_through_a_peer():
    import cvxpy

    problem = named.load("sphere:n=3,T=3,d=4,seed=4")
    found = {tuple(a.selected.tolist()) for a in attractors(problem, "kq").attractors}
    passed = set()
    for selected in itertools.product(range(3), repeat=3):
        worse = stack(problem, selected, np.less, False)
        if len(worse) == 0:
            continue
        W = cvxpy.Variable((problem.d, problem.d_z))
        flat = cvxpy.reshape(W, (problem.d * problem.d_z,), order="C")
        program = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(W)), [worse @ flat >= 1])
        program.solve(solver="CLARABEL")
        if program.status == "optimal":
            better = stack(problem, selected, np.greater, False)
            least = (better @ W.value.ravel()).min(initial=np.inf)
            assert abs(least - 1.0) > 1e-4
            if least > 1:
                passed.add(selected)
    assert found == passed


def test_orthogonal_queries_decouple():
    """With orthogonal queries the Frobenius problem splits: the ends are the product of each sample's own."""
    base = named.load("sphere:n=3,T=5,d=6,seed=1")
    problem = Problem(base.X, np.eye(3), base.scores)
    own = []
    for i in range(3):
        single = Problem(base.X[i : i + 1], np.ones((1, 1)), base.scores[i : i + 1])
        own.append([int(a.selected[0]) for a in attractors(single, "w").attractors])
    listed = {tuple(a.selected.tolist()) for a in attractors(problem, "w").attractors}
    assert listed == set(itertools.product(*own))


def test_splitting_the_search_changes_nothing():
    from marginflow.attractors.candidates import Candidates
    from marginflow.attractors.search import screen
    from marginflow.selection.stability import Verdict, decide

    problem = named.load("sphere:n=4,T=4,d=8,seed=3")
    for diagonal, euclidean, norm in ((False, True, "frobenius"), (False, False, "nuclear"), (True, False, "l1")):
        candidates = Candidates.of(problem, diagonal)
        whole = screen(candidates, euclidean, 10**6).selections
        parts = [s for r in range(3) for s in screen(candidates, euclidean, 10**6, subtree=(r, 3)).selections]

        def ends(selections, norm=norm):
            return {tuple(s) for s in selections if decide(problem, norm, s).verdict is Verdict.attractor}

        assert ends(whole) == ends(parts) != set()
        assert len(whole) < 40


def test_ragged_and_duplicate_tokens():
    base = named.load("sphere:n=3,T=4,d=6,seed=2")
    expected = {tuple(a.selected.tolist()) for a in attractors(base, "w").attractors}
    X = np.concatenate([base.X, base.X[:, :1]], axis=1)
    scores = np.concatenate([base.scores, base.scores[:, :1]], axis=1)
    mask = np.ones((3, 5), dtype=bool)
    mask[1, 4] = False
    repeated = Problem(X, base.z, scores, mask=mask)
    assert {tuple(a.selected.tolist()) for a in attractors(repeated, "w").attractors} == expected

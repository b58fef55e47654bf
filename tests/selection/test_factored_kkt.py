"""KKT points of factors too narrow for the SVM solution, and the ends listed there."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors import attractors
from marginflow.problem import named
from marginflow.selection import factored_kkt
from marginflow.selection.factored_kkt import kkt_point, kkt_points


def run(problem, width, seed, until):
    return mf.integrate(problem, mf.KeyQuery(width), seed=seed, scale=0.1, until_margin=until)


def point_of(path):
    at = path.parameters(-1)
    return kkt_point(path.problem, path.selected(-1), at["K"], at["Q"])


def test_with_enough_width_it_is_the_svm_solution():
    problem = named.load("sphere:n=6,T=8,d=10,seed=8")
    solution = mf.solve(problem, "nuclear")
    U, s, Vt = np.linalg.svd(solution.W)
    disturbed = np.random.default_rng(0).standard_normal((10, 4)) * 1e-3
    K, Q = U[:, :4] * np.sqrt(s[:4]) + disturbed, Vt[:4].T * np.sqrt(s[:4])
    point = kkt_point(problem, problem.optimal, K, Q)
    assert point is not None and point.found
    assert point.value == pytest.approx(solution.value, rel=1e-9)
    assert point.spectral == pytest.approx(1.0, abs=1e-8)


def test_a_damped_step_keeps_the_least_margin_at_one():
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    path = run(problem, 2, 0, 100.0)
    at, worse = path.parameters(-1), problem.constraints(path.selected(-1), against="worse")
    point = factored_kkt._Point(worse, at["K"] / 10.0, at["Q"] / 10.0)
    for _ in range(3):
        point = point.improved()
        assert point.margins().min() == pytest.approx(1.0, abs=1e-12)


def test_a_narrow_kkt_point_is_one_by_its_own_residuals():
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    point = point_of(run(problem, 2, 0, 1e4))
    assert point is not None and point.stable and not point.left
    worse = problem.constraints(point.selected, against="worse")
    B = worse.adjoint(point.dual)
    assert np.abs(point.K - B @ point.Q).max() < 1e-10 and np.abs(point.Q - B.T @ point.K).max() < 1e-10
    margins = worse.margins(point.K @ point.Q.T)
    assert margins.min() > 1 - 1e-10 and np.abs(point.dual * (margins - 1)).max() < 1e-10
    # It is not the nuclear optimum: the multipliers are not dual feasible, and the value is above it.
    assert point.spectral > 1.1
    assert point.value > mf.solve(problem, "nuclear", 1e-9, point.selected, against="worse").value * 1.001


def test_a_run_that_will_leave_is_told_by_its_kkt_point():
    """At margin 1e4 the better token is 1.06 times the least margin behind; at the KKT point approached it leads."""
    problem = named.load("sphere:n=6,T=8,d=10,seed=13")
    early = run(problem, 2, 13, 1e4)
    point = point_of(early)
    assert point is not None and point.left and point.stability < 0.7
    assert early.status is mf.FlowStatus.undecided and "will be left" in early.reason
    assert not (run(problem, 2, 13, 1e12).selected(-1) == early.selected(-1)).all()


def test_a_point_that_wider_factors_would_leave_is_left():
    """With a second column, zero up to rounding, the narrow point is a saddle: |B|_op > 1 (theory 3.5)."""
    problem = named.load("sphere:n=6,T=8,d=10,seed=0")
    narrow = point_of(run(problem, 1, 0, 1e4))
    assert narrow is not None and narrow.found and narrow.curvature > 0.0 and narrow.spectral > 1.0
    pad = ((0, 0), (0, 1))
    wide = kkt_point(problem, narrow.selected, np.pad(narrow.K, pad), np.pad(narrow.Q, pad))
    assert wide is not None and wide.found and wide.curvature > 0.0
    assert wide.spectral < narrow.spectral and wide.value < 0.99 * narrow.value


def test_stable_points_attract():
    problem = named.load("sphere:n=3,T=3,d=4,seed=0")
    ends = attractors(problem, mf.KeyQuery(1)).attractors
    assert len(ends) > 2
    for end in ends:
        if end.decision.point is None:
            continue
        far = np.sqrt(60.0 / min(1.0, end.stability - 1.0))
        at = end.decision.point
        path = mf.integrate(problem, mf.KeyQuery(1), init=(far * at.K, far * at.Q), until_margin=100.0 * far**2)
        assert (path.selected(-1) == end.selected).all()


def test_a_list_under_a_cap_is_never_complete_and_takes_what_runs_show():
    problem = named.load("sphere:n=3,T=3,d=4,seed=0")
    found = attractors(problem, mf.KeyQuery(1), sample=20, until_margin=1e4)
    assert not found.complete and any("local search" in why for why in found.incomplete_because)
    assert sum(s.count for a in found.attractors for s in a.shares) + len(found.elsewhere) == 20
    listed = [a for a in found.attractors if a.decision.point is not None]
    assert listed and all(a.decision.point.stable and a.stability > 1.0 for a in listed)
    assert all(entry["kkt"]["epsilon"] < 1e-8 for entry in found.to_dict()["attractors"] if entry["kkt"])


def test_nothing_to_separate_and_nothing_that_separates():
    trap = named.load("trap:infinity")
    assert kkt_points(trap, np.array([1, 1]), 1) == []
    assert kkt_points(named.load("rank-infeasible"), named.load("rank-infeasible").optimal, 1) == []
    assert kkt_point(trap, trap.optimal, -np.ones((2, 1)), np.ones((1, 1))) is None


def test_a_width_of_the_number_of_samples_is_no_cap():
    found = attractors(named.load("sphere:n=4,T=4,d=8,seed=2"), mf.KeyQuery(4))
    assert found.complete and found.only_minimal_loss

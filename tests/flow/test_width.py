"""Theory 5.4 and 5.5 on seeded data: what the width and the size of the start do, against certified SVM values.

The data of theory's own tables is not known; sphere:n=5,T=4,d=6,seed=0 has the same shape and a nuclear optimum
of rank 3. All numbers asserted are consequences of theory 3.4, 3.5 and 5, not values read off a run.
"""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem.random import sphere


MARGINS = (1e3, 1e6, 1e9)


@pytest.fixture(scope="module")
def problem():
    return sphere(n=5, T=4, d=6, seed=0)


@pytest.fixture(scope="module")
def nuclear(problem):
    solution = mf.solve(problem, "nuclear")
    assert solution.rank == 3
    return solution.value


def measures(path, value):
    """Relative nuclear excess, R - 1 (theory 3.4) and the relative KKT residual (theory 3.5)."""
    problem, c, dual = path.problem, path.problem.constraints(), path.dual()
    a = problem.X[c.sample, problem.optimal[c.sample]] - problem.X[c.sample, c.token]
    B = (dual[:, None] * a).T @ problem.z[c.sample]
    size = np.linalg.norm(path.W(), "nuc") / path.margin[-1]
    K, Q = path.parameters().values()
    theta, pull = np.concatenate([K, Q]), np.concatenate([B @ Q, B.T @ K])
    scaled = pull * (theta * pull).sum() / (pull * pull).sum()
    residual = np.linalg.norm(theta - scaled) / np.linalg.norm(theta)
    return size / value - 1, size * np.linalg.norm(B, 2) / dual.sum() - 1, residual


def table(problem, width, value):
    paths = [mf.integrate(problem, mf.KeyQuery(width), until_margin=m) for m in MARGINS]
    assert all(path.status is mf.FlowStatus.minimal_loss for path in paths)
    return np.array([measures(path, value) for path in paths]).T


@pytest.mark.parametrize("width", [1, 2])
def test_below_the_rank_the_factors_end_at_a_kkt_point_that_is_not_optimal(problem, nuclear, width):
    excess, ratio, residual = table(problem, width, nuclear)
    # The residual goes to 0 as at any KKT point; excess and R stay where they are, and both tell.
    assert (np.diff(residual) < 0).all() and residual[-1] < 1e-4
    assert excess[-1] > 1e-4 and excess[-1] == pytest.approx(excess[1], rel=0.1)
    assert ratio[-1] > 0.05 and ratio[-1] == pytest.approx(ratio[1], rel=0.02)


@pytest.mark.parametrize("width", [3, 6])
def test_from_the_rank_on_the_nuclear_optimum_is_approached(problem, nuclear, width):
    excess, ratio, residual = table(problem, width, nuclear)
    assert (excess > 0).all() and (ratio >= excess).all()
    for column in (excess, ratio, residual):
        assert (np.diff(column) < 0).all()
    assert excess[-1] < 1e-4 and ratio[-1] < 1e-3 and residual[-1] < 1e-2


def test_one_matrix_has_the_nuclear_norm_of_the_frobenius_solution(problem, nuclear):
    """The direction is off by O(1/margin), and W_F's own nuclear norm is more than the optimum."""
    own = np.linalg.norm(mf.solve(problem, "frobenius").W, "nuc")
    assert own > 1.05 * nuclear
    for margin in (1e4, 1e6):
        path = mf.integrate(problem, mf.Combined(), until_margin=margin)
        assert np.linalg.norm(path.W(), "nuc") / path.margin[-1] == pytest.approx(own, rel=30 / margin)


def test_the_excess_falls_with_the_loss_and_is_least_for_a_start_of_middling_size(problem, nuclear):
    """Theory 5.4: relative nuclear excess at -log e = 10, 55, 300 by the scale of the start."""
    rows = {}
    for scale in (1.0, 0.3, 0.1, 0.01):
        path = mf.integrate(problem, mf.KeyQuery(6), scale=scale, until_margin=320.0)
        assert path.status is mf.FlowStatus.minimal_loss and -path.log_excess[-1] > 300
        late = path.margin > 0
        sizes = [np.linalg.norm(path.W(i), "nuc") / path.margin[i] for i in np.flatnonzero(late)]
        # Snapshots are a third of a unit of log margin apart: the table between them is a straight line in logs.
        points = np.log(-path.log_excess[late])
        rows[scale] = np.interp(np.log([10.0, 55.0, 300.0]), points, np.array(sizes) / nuclear - 1)
        assert (rows[scale] > 0).all() and (np.diff(rows[scale]) < 0).all()
    best = min(rows, key=lambda scale: rows[scale][-1])
    assert best in (0.3, 0.1)
    assert rows[1.0][-1] > 1.5 * rows[best][-1]

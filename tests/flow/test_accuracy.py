"""rtol is honoured: against quadratures in 50 digits, and against itself; test_rtol.py has the other referees."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.problem.random import sphere


def one_pair(gap: float = 1.0) -> mf.Problem:
    """One sample, tokens 2 and 0, query 1: the margin is 2 W."""
    return mf.Problem([[[2.0], [0.0]]], [[1.0]], [[gap, 0.0]])


def exact_log_time(start, end, speed, gap=1.0):
    """log of the integral of dm / (speed(m) pull(m)) in 50 digits; the pull is -dL/dm."""

    def pull(m):
        u = mpmath.exp(-m)
        return mpmath.exp(-gap / (1 + u)) * u / (1 + u) ** 2 * gap

    # At late times only the last few units of margin count; the panels are placed there.
    back = [c for c in (100, 60, 30, 15, 7, 3, 1) if end - c > start]
    cuts = [max(start, end - 150), *(end - mpmath.mpf(c) for c in back), end]
    with mpmath.workdps(50):
        return float(mpmath.log(mpmath.quad(lambda m: 1 / (speed(m) * pull(m)), cuts)))


@pytest.mark.parametrize("end", [3.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_one_matrix_keeps_fifty_digit_time(end, rtol):
    path = mf.integrate(one_pair(), mf.Combined(), init=np.array([[0.1]]), until_margin=end, rtol=rtol)
    with mpmath.workdps(50):
        want = exact_log_time(mpmath.mpf(2) * mpmath.mpf(0.1), mpmath.mpf(float(path.margin[-1])), lambda m: 4)
    assert abs(path.log_time[-1] - want) <= 10 * rtol * max(1.0, abs(want)) + 10 * path.floor
    assert 2.0 * path.W()[0, 0] == pytest.approx(path.margin[-1], rel=10 * rtol)


@pytest.mark.parametrize("kind", [mf.KeyQuery(1), mf.DiagonalKeyQuery()], ids=lambda k: k.word)
@pytest.mark.parametrize("end", [3.0, 30.0, 1e3, 1e6])
def test_a_key_and_a_query_keep_fifty_digit_time(kind, end):
    k, q = 0.3, 0.1
    shape = (1, 1) if kind.word == "kq" else (1,)
    init = (np.full(shape, k), np.full(shape, q))
    path = mf.integrate(one_pair(), kind, init=init, until_margin=end)
    with mpmath.workdps(50):
        c = mpmath.mpf(k) ** 2 - mpmath.mpf(q) ** 2
        # m = 2 k q and (k^2 + q^2)^2 = c^2 + m^2, so m' = 4 (k^2 + q^2) pull.
        end_margin = mpmath.mpf(float(path.margin[-1]))
        want = exact_log_time(2 * mpmath.mpf(k) * mpmath.mpf(q), end_margin, lambda m: 4 * mpmath.sqrt(c**2 + m**2))
    assert abs(path.log_time[-1] - want) <= 1e-5 * max(1.0, abs(want))
    assert path.conserved_drift < 1e-6


@pytest.mark.parametrize("kind", [mf.KeyQuery(6), mf.Combined()], ids=lambda k: k.word)
def test_rtol_is_honoured_at_late_times(kind):
    problem = sphere(n=4, T=5, d=6, seed=2)
    loose = mf.integrate(problem, kind, until_margin=1e6, rtol=1e-6)
    tight = mf.integrate(problem, kind, until_margin=1e6, rtol=1e-8)
    assert loose.status is tight.status is mf.FlowStatus.minimal_loss
    # The runs stop at different margins: compare what does not care, the direction and log t - psi at equal margins.
    unit = [path.W() / np.linalg.norm(path.W()) for path in (loose, tight)]
    assert np.abs(unit[0] - unit[1]).max() < 1e-3
    grid = np.log(np.array([3e4, 1e5, 5e5]))
    behind = []
    for path in (loose, tight):
        late = path.margin > 1e4
        behind.append(np.interp(grid, np.log(path.margin[late]), path.log_time[late] + path.log_excess[late]))
    assert np.abs(behind[0] - behind[1]).max() < 1e-3
    assert loose.conserved_drift < 1e-5


def test_log_times_add_up_over_snapshots():
    path = mf.integrate(sphere(n=4, T=5, d=6, seed=2), mf.KeyQuery(6), until_margin=1e4)
    assert path.log_time[0] == -np.inf
    assert (np.diff(path.log_time) > 0).all()
    assert (np.diff(path.log_excess) < 0).all()

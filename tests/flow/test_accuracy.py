"""rtol is honoured: against quadratures in 50 digits, and against itself; test_rtol.py has the other referees."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.problem.random import sphere


KINDS = [mf.KeyQuery(4), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("margin", [1e3, 1e6, 1e9])
def test_rtol_is_honoured_at_late_times(kind, margin):
    """rtol against rtol / 100 at equal margins: parameters, direction, log t, the law of 5.1 and the weights."""
    # Diagonal weights separate 6 generic constraints in 6 dimensions.
    n, d = (2, 6) if kind.diagonal else (3, 4)
    problems = [sphere(n=n, T=4, d=d, seed=s) for s in range(4)]
    rtol = 1e-6
    loose, tight = (
        mf.integrate_many(problems, kind, until_margin=margin, rtol=r, max_steps=5000) for r in (rtol, rtol / 100)
    )
    compared = 0
    for a, b in zip(loose, tight, strict=True):
        assert a.status is b.status and tuple(a.selected()) == tuple(b.selected())
        if (a.ended.name, b.ended.name) != ("margin", "margin"):
            continue
        compared += 1
        ours, want = (np.concatenate([x.ravel() for x in path.parameters().values()]) for path in (a, b))
        assert np.linalg.norm(ours - want) <= 10 * rtol * np.linalg.norm(want)
        ours, want = (path.W() / np.linalg.norm(path.W()) for path in (a, b))
        assert np.linalg.norm(ours - want) <= 10 * rtol
        assert a.log_time[-1] == pytest.approx(b.log_time[-1], rel=10 * rtol)
        # What follows is of order 1 and made of exponents that float64 resolves to the floor only.
        exact = 10 * rtol + 10 * b.floor
        if a.status is mf.FlowStatus.minimal_loss:
            law = [path.log_time[-1] + path.log_excess[-1] for path in (a, b)]
            assert abs(law[0] - law[1]) <= exact
        assert np.abs(a.snapshots.f[-1] - b.snapshots.f[-1]).max() <= exact
        assert a.conserved_drift <= 10 * rtol
    assert compared == 4


def test_log_times_add_up_over_snapshots():
    path = mf.integrate(sphere(n=4, T=5, d=6, seed=2), mf.KeyQuery(6), until_margin=1e4)
    assert path.log_time[0] == -np.inf
    assert (np.diff(path.log_time) > 0).all()
    assert (np.diff(path.log_excess) < 0).all()

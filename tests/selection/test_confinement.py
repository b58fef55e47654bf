"""The bounds of a trap against exact margins: they are those of the parameters, not of what was carried or rounded."""

from fractions import Fraction

import numpy as np
import pytest

import marginflow as mf
from marginflow.selection import trap
from one_head import confine_one


def _problem(scores, tokens=None):
    """One query 1; the first token at 0, the others at -1 or at `tokens`."""
    rest = [[-1.0]] * (len(scores) - 1) if tokens is None else tokens
    return mf.Problem([[[0.0] * len(rest[0]), *rest]], [[1.0]], [scores])


def _confined(problem, model, arrays, margins, norm):
    """As for a run on token 0 that carries these margins; losses of slope one."""
    solution = mf.solve(problem, norm, 1e-9, [0], against="worse")
    carried = np.full(len(solution.constraints), margins)
    return confine_one(problem, model, arrays, solution, np.array([0]), np.zeros(1), carried)


@pytest.mark.parametrize("carried", [1900.0, 1999.0, 2000.0, 2001.0, 2100.0, 1e5])
def test_the_smaller_of_carried_and_own_margins_acts(carried):
    """An integrator that drifts must not lend a run margins that its weights do not have."""
    found = _confined(_problem([1.0, 0.0]), mf.Combined(), {"W": np.array([[2000.0]])}, carried, "frobenius")
    assert found.acting == pytest.approx(min(carried, 2000.0), rel=1e-12)
    assert Fraction(found.acting) <= min(Fraction(carried), Fraction(2000))
    assert found.reach >= 2000.0 / min(carried, 2000.0)


@pytest.mark.parametrize("carried", [2000.0, 2001.0, 2100.0])
def test_the_loss_is_that_of_the_acting_margins(carried):
    """Gaps 1 and 2**-10: E / kappa_min is 1025 e^-2000 whatever is carried above 2000."""
    problem = _problem([1.0, 0.0, 1.0 - 2.0**-10])
    found = _confined(problem, mf.Combined(), {"W": np.array([[2000.0]])}, carried, "frobenius")
    assert found.reach >= 2000.0 / (2000.0 - np.log(1025.0))


def test_what_holds_for_good_is_less_than_the_least_margin_by_the_log_of_the_constraints():
    """E / kappa_min is 1025 e^-2000: the least margin may come down to 2000 - log 1025."""
    found = _confined(
        _problem([1.0, 0.0, 1.0 - 2.0**-10]), mf.Combined(), {"W": np.array([[2000.0]])}, 2000.0, "frobenius"
    )
    assert found.held == pytest.approx(2000.0 - np.log(1025.0), rel=1e-9) and found.held < found.acting


def test_a_tied_token_leaves_half_of_the_attention():
    """The selected token pulls with a half of what it would alone: log 2 of margin."""
    W = {"W": np.array([[2000.0], [300.0]])}
    size = np.hypot(2000.0, 300.0)
    tied = _problem([0.0, -1.0, 1.0, 0.0], [[-1.0, 0.0], [-2.0, 0.0], [-0.1, 0.1]])
    alone = _problem([0.0, -1.0, 1.0], [[-1.0, 0.0], [-2.0, 0.0]])
    assert _confined(alone, mf.Combined(), W, 2000.0, "frobenius").reach == pytest.approx(size / 2000.0, rel=3e-6)
    assert _confined(tied, mf.Combined(), W, 2000.0, "frobenius").reach >= size / (2000.0 - np.log(2.0))


def test_the_margin_of_factors_that_cancel_is_bounded_by_the_exact_one():
    """k q = k_1 q_1 + k_2 q_2 with terms of 1e16 and a sum of some thousands: float64 is off by units."""
    wrong = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        K = 1e8 * (1.0 + draw.random((1, 2)))
        Q = np.array([[K[0, 1], -K[0, 0]]]) + draw.uniform(1e-6, 1e-4, (1, 2))
        exact = sum(Fraction(k) * Fraction(q) for k, q in zip(K[0].tolist(), Q[0].tolist(), strict=True))
        found = _confined(_problem([1.0, 0.0]), mf.KeyQuery(2), {"K": K, "Q": Q}, 1e9, "nuclear")
        assert found is None or Fraction(found.acting) <= exact
        wrong += found is not None and Fraction(float((K @ Q.T)[0, 0])) > exact
    assert wrong >= 5  # so many would have been called larger than they are


def test_a_better_token_as_near_as_allowed_does_not_leave_the_reach():
    """Its pull, e^-20 of what acts, integrated over the growth of the norm, is within the room kept."""
    found = _confined(_problem([1.0, 0.0]), mf.Combined(), {"W": np.array([[2000.0]])}, 2000.0, "frobenius")
    assert found.reach > 1.0 + 10.0 * np.exp(-trap.BEHIND) / trap.BEHIND

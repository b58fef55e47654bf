"""One step against the flow itself: its order, that of its middle, and what its error estimate is worth."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import marginflow as mf
from marginflow.flow.control import loss_rises, step_error
from marginflow.flow.explicit import explicit_step
from marginflow.flow.point import Point, point
from marginflow.flow.rosenbrock import Step, step
from marginflow.losses import parse_loss
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.problem.random import sphere


STEPS = {"rosenbrock": lambda objective, at, h: step(objective, at, h, None), "explicit": explicit_step}
KINDS = [mf.KeyQuery(3), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]
SHORT = {"kq": 0.05, "w": 0.1, "diag-kq": 0.1, "diag": 0.2}  # Asymptotic there, and well above the referee's error.


def a_point(kind):
    problem = sphere(n=2, T=3, d=3, seed=4)
    objective = Objective.of([problem], kind, parse_loss("logistic"))
    arrays = kind.draw(3, 3, np.random.default_rng(4), 1.0)
    theta = kind.map(3, 3).pack(kind.start(arrays, 3, 3))[None]
    return objective, point(objective, theta, objective.logits(theta))


def exact(objective, at, times):
    """(theta, ds) at `times` by DOP853 at 1e-13, from the rates alone."""

    def rates(_, y):
        theta, ds = y[:size].reshape(at.theta.shape), y[size:].reshape(at.ds.shape)
        here = point(objective, theta, at.s.moved(ds))
        return np.concatenate([here.dtheta.ravel(), here.ds.ravel()])

    size = at.theta.size
    start = np.concatenate([at.theta.ravel(), np.zeros(at.ds.size)])
    end = solve_ivp(rates, (0.0, max(times)), start, "DOP853", sorted(times), rtol=1e-13, atol=1e-15)
    return {t: (y[:size].reshape(at.theta.shape), y[size:].reshape(at.ds.shape)) for t, y in zip(end.t, end.y.T)}


def errors(name, kind, h):
    """What a step of length `h` is off by at its end, at its middle, and by its embedded solution; and its estimate."""
    objective, at = a_point(kind)
    true = exact(objective, at, (h / 2, h))
    tried = STEPS[name](objective, at, np.array([h]))
    theta, ds = true[h]
    end = max(np.abs(tried.theta - theta).max(), np.abs(tried.ds - ds).max())
    embedded = np.abs(tried.ds - tried.ds_error - ds).max()
    middle = np.abs(tried.ds_middle - true[h / 2][1]).max()
    return end, middle, embedded, np.abs(tried.ds_error).max()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_the_order_it_is_said_to_have(name, kind):
    """Order 5 is a local error of h^6; a middle and an embedded solution of order 4 have h^5."""
    h = SHORT[kind.word]
    long, short = errors(name, kind, 2 * h), errors(name, kind, h)
    order = [np.log2(a / b) for a, b in zip(long[:3], short[:3], strict=True)]
    assert short[0] > 1e-13, "the referee is no better than the step"
    assert order[0] > 5.5 and order[1] > 4.5 and 4.3 < order[2] < 5.5


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("name", STEPS)
def test_the_estimate_is_the_error_of_the_embedded_solution(name, kind):
    _, _, true, said = errors(name, kind, SHORT[kind.word])
    assert said == pytest.approx(true, rel=0.2)


def two_constraints(extra):
    """A point at margin 1e9 of two samples; the first is `extra` further than the second."""
    problem = mf.Problem([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]], np.ones((2, 2)), [[1.0, 0.0]] * 2)
    objective = Objective.of([problem], mf.Combined(), parse_loss("exponential"))
    high = np.array([[[0.0, -1e9 - extra], [0.0, -1e9]]])
    return objective, point(objective, np.full((1, 2, 2), 0.5e9), Logits(high, np.zeros_like(high)))


def test_a_constraint_lost_by_both_solutions_is_an_error_by_the_response_of_the_start():
    """Step and embedded solution agree on a force that one constraint carries alone: only the responses tell."""
    (objective, at), (_, new) = two_constraints(0.0), two_constraints(60.0)
    off = np.array([[[0.0, -30.0], [0.0, 0.0]]])
    nothing = np.zeros_like(at.theta)
    tried = Step(new.theta, off, off / 2, nothing, off, objective.force(new.s.moved(-off)))
    assert np.abs(tried.embedded.f - new.force.f).max() < 1e-10
    assert step_error(objective, at, new, tried, 1e-6)[0] > 1.0


def moved(objective, at: Point, by: float) -> tuple[Point, np.ndarray]:
    """Where a straight line along the flow from `at` is after `by`, and the change of the logits."""
    theta = at.theta + by * at.dtheta
    new = point(objective, theta, objective.logits(theta))
    return new, new.s.high - at.s.high


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize(("by", "rises"), [(1e-3, False), (-1e-3, True), (0.0, False), (-1e-17, False)])
def test_a_loss_that_is_higher_after_a_step_is_seen(kind, by, rises):
    objective, at = a_point(kind)
    new, ds = moved(objective, at, by)
    assert loss_rises(objective, at, new, ds)[0] == rises

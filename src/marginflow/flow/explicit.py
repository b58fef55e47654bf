"""An explicit step, for the early phase of large problems: everything acts, and nothing is stiff yet."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.abstract import AbstractLift
from marginflow.flow.force import Loss, force
from marginflow.flow.rosenbrock import Point, Step, point
from marginflow.flow.tokens import Tokens


# Dormand and Prince, J. Comput. Appl. Math. 6:19, 1980: order 5 with an embedded order 4.
_A: Final = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR: Final = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

# The change at half the step, of order 4 (Shampine, Math. Comp. 46:135, 1986).
_MIDDLE: Final = (
    6025192743 / 60171106304,
    0.0,
    51252292925 / 130801643196,
    -2691868925 / 90256659456,
    187940372067 / 3189068634112,
    -1776094331 / 39487288512,
    11237099 / 470086768,
)


def explicit_step(lift: AbstractLift, tokens: Tokens, at: Point, h: Floats, loss: Loss) -> Step:
    """Step every run of the batch by its own `h` (B,)."""
    rates = [(at.dtheta, at.ds)]
    theta, ds = at.theta, np.zeros_like(at.ds)
    for row in _A:
        dtheta, ds = _combine(row, rates, h)
        theta = at.theta + dtheta
        here = point(lift, tokens, theta, at.s.moved(ds), loss)
        rates.append((here.dtheta, here.ds))
    theta_error, ds_error = _combine(_ERROR, rates, h)
    embedded = force(at.s.moved(ds - ds_error), tokens.scores, loss)
    return Step(theta, ds, _combine(_MIDDLE, rates, h)[1], theta_error, ds_error, embedded)


def _combine(row: tuple[float, ...], rates: list[tuple[Floats, Floats]], h: Floats) -> tuple[Floats, Floats]:
    theta = sum(w * r[0] for w, r in zip(row, rates, strict=True))
    s = sum(w * r[1] for w, r in zip(row, rates, strict=True))
    return h.reshape(-1, *(1,) * (rates[0][0].ndim - 1)) * theta, h[:, None, None] * s

"""An explicit step, for the early phase of large problems: everything acts, and nothing is stiff yet."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.point import Point, point
from marginflow.flow.rosenbrock import Step
from marginflow.model.objective import Objective


# Dormand and Prince, J. Comput. Appl. Math. 6:19, 1980: order 5 with an embedded order 4.
_A: Final = tuple(
    np.array(row)
    for row in (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    )
)
_ERROR: Final = np.array((71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40))

# The change at half the step, of order 4 (Shampine, Math. Comp. 46:135, 1986).
_MIDDLE: Final = np.array(
    (
        6025192743 / 60171106304,
        0.0,
        51252292925 / 130801643196,
        -2691868925 / 90256659456,
        187940372067 / 3189068634112,
        -1776094331 / 39487288512,
        11237099 / 470086768,
    )
)


def explicit_step(objective: Objective, at: Point, h: Floats) -> Step:
    """Step every run of the batch by its own `h` (B,)."""
    B, size = len(h), at.theta[0].size
    rates = np.empty((7, B, size + at.ds[0].size))
    rates[0, :, :size], rates[0, :, size:] = at.dtheta.reshape(B, -1), at.ds.reshape(B, -1)

    def combined(row: Floats) -> tuple[Floats, Floats]:
        out = (row @ rates[: len(row)].reshape(len(row), -1)).reshape(B, -1)
        out *= h[:, None]
        return out[:, :size].reshape(at.theta.shape), out[:, size:].reshape(at.ds.shape)

    theta, ds = at.theta, np.zeros_like(at.ds)
    for i, row in enumerate(_A, start=1):
        dtheta, ds = combined(row)
        theta = at.theta + dtheta
        here = point(objective, theta, at.s.moved(ds))
        rates[i, :, :size], rates[i, :, size:] = here.dtheta.reshape(B, -1), here.ds.reshape(B, -1)
    theta_error, ds_error = combined(_ERROR)
    embedded = objective.force(at.s.moved(ds - ds_error))
    return Step(theta, ds, combined(_MIDDLE)[1], theta_error, ds_error, embedded)

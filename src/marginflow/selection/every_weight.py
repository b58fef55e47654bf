"""Whether parameters make every W, linearly and at one rate: what theorems about convex losses need of them."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.parameterization import AbstractParameterMap


ALIKE: Final = 1e-9
"""How far what is equal for such parameters may be apart, relative."""


def every_weight(phi: AbstractParameterMap, theta: Floats) -> bool:
    """Whether phi is linear and phi phi* is c > 0 times the identity, for parameters of the shape of `theta`.

    Then theta' = phi* G has |theta'|^2 = c |G|^2, and the least loss over theta is that over W. Asked of numbers drawn:
    maps that are not so but pass at them are of measure 0. Others whose phi* loses nothing are not told apart: False.
    """
    drawn = np.random.default_rng(0).standard_normal((2, *theta.shape))
    apart, together = phi.weights(drawn).sum(axis=0), phi.weights(drawn.sum(axis=0)[None])[0]
    if not np.allclose(apart, together, rtol=0.0, atol=ALIKE):
        return False
    G = np.random.default_rng(1).standard_normal((1, *together.shape))
    back = phi.weights(phi.vjp(drawn[:1], G))
    c = float((back * G).sum() / (G * G).sum())
    return c > 0.0 and np.allclose(back, c * G, rtol=0.0, atol=ALIKE * c)

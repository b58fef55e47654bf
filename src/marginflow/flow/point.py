"""Where a batch of runs is: parameters, logits, force and their rates."""

from dataclasses import dataclass

from marginflow.arrays import Floats
from marginflow.model.force import Force
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective


@dataclass(frozen=True, eq=False)
class Point:
    """Where a batch of flows is, with the force and the rates there.

    Attributes:
        theta: (B, ...) parameters.
        s: logits (B, n, T), their own state.
        force: the force at `s`.
        G: its pull on the weights, with that of the multipliers of held margins.
        dtheta, ds: d theta/d tau and (B, n, T) ds/d tau.
    """

    theta: Floats
    s: Logits
    force: Force
    G: Floats
    dtheta: Floats
    ds: Floats


def point(objective: Objective, theta: Floats, s: Logits) -> Point:
    """Evaluate force and rates at (theta, s)."""
    at = objective.force(s)
    G = objective.tokens.adjoint(at.f)
    if objective.held is not None:
        G = G + objective.held.pull(objective.held.multipliers(objective.map, theta, G))
    dtheta = objective.map.vjp(theta, G)
    return Point(theta, s, at, G, dtheta, objective.tokens.logits(objective.map.jvp(theta, dtheta)))

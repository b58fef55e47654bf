"""Where a batch of runs is: parameters, logits, force and their rates."""

from dataclasses import dataclass

from marginflow.arrays import Floats
from marginflow.model.force import Force, Loss, force
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractLift


@dataclass(frozen=True, eq=False)
class Point:
    """Where a batch of flows is, with the force and the rates there.

    Attributes:
        theta: (B, ...) parameters.
        s: logits (B, n, T), their own state.
        force: the force at `s`.
        G: its pull on the weights.
        dtheta, ds: d theta/d tau and (B, n, T) ds/d tau.
    """

    theta: Floats
    s: Logits
    force: Force
    G: Floats
    dtheta: Floats
    ds: Floats


def point(lift: AbstractLift, tokens: Tokens, theta: Floats, s: Logits, loss: Loss) -> Point:
    """Evaluate force and rates at (theta, s)."""
    at = force(s, tokens.scores, loss)
    G = tokens.pull(at.f)
    dtheta = lift.rate(theta, G)
    return Point(theta, s, at, G, dtheta, tokens.push(lift.slope(theta, dtheta)))

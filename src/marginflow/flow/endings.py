"""Why a run stops."""

from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.flow.state import Settings, State
from marginflow.model.objective import Objective
from marginflow.trajectory.ended import Ended


SMALLEST_STEP: Final = 1e-14
"""Of tau; a step below moves nothing in float64."""

BALANCED_STEPS: Final = 1000

BALANCED_CHANGE: Final = 0.01
"""A change of log(force), and near zero a growth of log|theta|, below this over that many steps: it stands still."""

NEAR_ZERO: Final = 0.01
"""Logits below this are those of a start close to zero, whose force stays while theta grows; with larger ones that
hold each other, theta may go to infinity for ever along a direction that no logit sees."""

VANISHED: Final = 1e-14
"""A pull on the weights below this part of what its terms add up to is rounding: where it leads is not the flow's."""


class Stationarity:
    """Detects runs that stand still, the forces of their tokens in balance at finite leads.

    Plateaus of a flow that goes on are passed in tens of steps, because the clock has unit force; a start close to
    zero keeps its force for long, but grows.
    """

    def __init__(self, objective: Objective, state: State) -> None:
        tokens = objective.tokens
        if tokens.diagonal:
            lengths = np.sqrt(((tokens.X * tokens.Z[:, :, None, :]) ** 2).sum(axis=3))
        else:
            lengths = np.sqrt((tokens.X**2).sum(axis=3)) * np.sqrt((tokens.Z**2).sum(axis=2))[..., None]
        self.lengths: Floats = np.broadcast_to(lengths, state.at.ds.shape)
        self.exists: Bools = np.broadcast_to(tokens.mask, state.at.ds.shape)
        self.psi, self.size, self.steps = state.psi.copy(), _log_size(state), state.steps.copy()

    def keep(self, runs: Bools) -> None:
        """Go on with the runs in `runs` (B,)."""
        self.lengths, self.exists = self.lengths[runs], self.exists[runs]
        self.psi, self.size, self.steps = self.psi[runs], self.size[runs], self.steps[runs]

    def reached(self, state: State) -> Bools:
        """(B,) True for runs that a whole interval has not moved, or whose pull has vanished in rounding."""
        G = state.at.G.reshape(len(self.psi), -1)
        out = np.abs(G).max(axis=1) <= VANISHED * (np.abs(state.at.force.f) * self.lengths).sum(axis=(1, 2))
        due = state.steps - self.steps >= BALANCED_STEPS
        if due.any():
            size = _log_size(state)
            spread = np.where(self.exists, np.abs(state.at.s.high), 0.0).max(axis=(1, 2))
            growth = np.where(spread < NEAR_ZERO, size - self.size, 0.0)
            moved = np.maximum(np.abs(state.psi - self.psi), growth)
            out |= due & (moved < BALANCED_CHANGE)
            self.psi[due], self.size[due], self.steps[due] = state.psi[due], size[due], state.steps[due]
        return np.asarray(out)


def endings(objective: Objective, state: State, reach: Floats, settings: Settings, stationary: Bools) -> Any:
    """(B,) why each run ends here, None where it goes on."""
    over = np.full(len(reach), None, dtype=object)
    over[stationary] = Ended.balanced
    size = np.where(objective.tokens.mask, np.abs(state.at.s.high), 0.0).max(axis=(1, 2))
    over[size * np.finfo(float).eps > 0.01] = Ended.floor
    over[state.h < SMALLEST_STEP * (1e-200 + state.tau)] = Ended.stalled
    over[state.steps >= settings.max_steps] = Ended.steps
    over[reach < settings.least_lead] = Ended.left
    over[reach >= settings.until_margin] = Ended.margin
    return over


def _log_size(state: State) -> Floats:
    """(B,) log|theta|, in a way that sizes of 1e-200 do not end."""
    theta = np.abs(state.at.theta).reshape(len(state.psi), -1)
    most = np.maximum(theta.max(axis=1), 1e-320)
    return np.asarray(np.log(most) + np.log(np.sqrt(((theta / most[:, None]) ** 2).sum(axis=1)) + 1e-320))

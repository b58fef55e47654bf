"""Why a run stops."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.state import Settings, State


SMALLEST_STEP: Final = 1e-14
"""Of tau; a step below moves nothing in float64."""


BALANCED_STEPS: Final = 1000


BALANCED_CHANGE: Final = 0.01
"""A change of log(force) below this over that many steps: the force is balanced at finite leads."""


@dataclass(frozen=True, eq=False)
class Stillness:
    """Tells runs in which tokens hold each other at finite leads: psi (B,) stands still from one mark to the next.

    Plateaus of a flow that goes on are passed in tens of steps, because the clock has unit force.
    """

    psi: Floats
    steps: Ints

    @classmethod
    def at(cls, state: State) -> "Stillness":
        """A first mark."""
        return cls(state.psi.copy(), state.steps.copy())

    def held(self, state: State) -> Bools:
        """(B,) True for runs that a whole interval has not moved; marks are renewed as they fall due."""
        due = state.steps - self.steps >= BALANCED_STEPS
        held = due & (np.abs(state.psi - self.psi) < BALANCED_CHANGE)
        self.psi[due], self.steps[due] = state.psi[due], state.steps[due]
        return np.asarray(held)


def endings(state: State, reach: Floats, mask: Bools, settings: Settings) -> Any:
    """(B,) why each run ends here, "" where it goes on."""
    over = np.full(len(reach), "", dtype="<U12")
    size = np.where(mask, np.abs(state.at.s.high), 0.0).max(axis=(1, 2))
    over[size * np.finfo(float).eps > 0.01] = "floor"
    over[state.h < SMALLEST_STEP * (1e-200 + state.tau)] = "stalled"
    over[state.steps >= settings.max_steps] = "steps"
    over[reach >= settings.until_margin] = "margin"
    return over

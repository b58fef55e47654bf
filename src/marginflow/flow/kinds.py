"""Which kind of step a run takes next, and how its length follows from its error."""

from enum import Enum

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.flow.control import STIFF, explicit_pays
from marginflow.flow.state import Settings, State
from marginflow.model.objective import Objective


class StepKind(Enum):
    """A kind of step."""

    explicit = "Dormand and Prince's, order 5"
    rosenbrock = "Rodas5P, linearly implicit, order 5"
    late = "SDIRK2, implicit, order 2"

    def growth(self, error: Floats) -> Floats:
        """(B,) the factor to the length whose error is what is allowed, where that of this one is `error` times it."""
        if self is StepKind.late:
            return np.asarray(0.85 * np.maximum(error, 1e-10) ** -0.5)
        return np.asarray(0.9 * np.maximum(error, 1e-10) ** -0.2)

    @property
    def most(self) -> float:
        """The largest factor from a step to the next."""
        return 3.0 if self is StepKind.late else 5.0


Kinds = npt.NDArray[np.object_]
"""(B,) one `StepKind` a run."""


def kinds(objective: Objective, state: State, settings: Settings) -> Kinds:
    """(B,) the kind of the next step of every run."""
    out = np.full(len(state.h), StepKind.rosenbrock, dtype=object)
    late = settings.late
    # Where late steps follow, no linear system of many tokens is worth the few steps up to them.
    stiff = max(STIFF, late.lead) if late.covers(objective, state.at, settings.rtol) else STIFF
    out[explicit_pays(objective, state.at, state.h, state.steps, settings.rtol, stiff)] = StepKind.explicit
    out[late.takes(objective, state.at, state.h, settings.rtol)] = StepKind.late
    return out

"""What can be said of the end of a run, with the numbers it rests on."""

from dataclasses import dataclass
from enum import Enum

import numpy as np


class FlowStatus(Enum):
    """What can be said of the end of a flow; the value is the sentence for the user."""

    minimal_loss = "The loss goes to its minimum: every sample ends on the tokens that the least loss keeps."
    trapped = "Trapped: the loss stays above its minimum, with a wrong token selected for good."
    undecided = "Undecided: where this flow ends is not settled yet."


@dataclass(frozen=True)
class Verdict:
    """A status with the numbers it rests on.

    Attributes:
        status: what is said.
        reason: one sentence with the numbers, for the user.
        proof: "barrier" (theorems of docs/flow.md, minimal loss), "convex" (the loss is convex in the parameters),
            "confined" (theorem of docs/attractors.md, section 2, trap), "observed" (of steps, which no theorem holds:
            below the barrier in every late snapshot) or "".
        log_excess: log(L - L*) at the end of the run.
        log_barrier: the value below which the theorem applies.
        wrong: samples that are not on their optimal token, with the token each is on.
        better_margin: of a trap: what no better token's margin is below at any W that the run can still have, in
            units of the least acting margin; inf where no token is better, nan if not asked.
        closeness: what norm over least acting margin never exceeds again while better tokens stay behind, in
            units of the SVM's value, >= 1; nan if not asked.
        leaves: (sample, token) that a selection which is not stable will move to, or None.
    """

    status: FlowStatus
    reason: str
    proof: str = ""
    log_excess: float = np.nan
    log_barrier: float = np.nan
    wrong: tuple[tuple[int, int], ...] = ()
    better_margin: float = np.nan
    closeness: float = np.nan
    leaves: tuple[int, int] | None = None

    @property
    def sentence(self) -> str:
        """The status in words for the user, and that it is observed where no theorem says so."""
        if self.status is FlowStatus.minimal_loss and self.proof == "observed":
            return "Every sample is on its optimal token, and the loss below its barrier: observed, not proved to last."
        return self.status.value

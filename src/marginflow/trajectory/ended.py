"""Why a run stopped."""

from enum import Enum


class Ended(Enum):
    """Why a run stopped; the value is the sentence for the user, and what to do where something can be done."""

    margin = "the margin asked for is reached"
    verdict = "the verdict is certain"
    steps = "the steps allowed are used up"
    floor = "float64 cannot resolve larger margins"
    balanced = "the forces of the tokens hold each other at finite leads"
    stalled = "the step size has reached float64's floor"
    border = "what was reached is not known to be the end of the flow from this start"
    recorded = "the record ends here"
    interrupted = "the run was interrupted"
    left = "a token has come back to the faces held"

    @property
    def advice(self) -> str:
        """What to tell the reader of a run that is not settled."""
        return RUN_ON if self in (Ended.margin, Ended.verdict) else self.value


RUN_ON = "run to a larger margin"

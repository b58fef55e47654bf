"""What a flow needs, beside what was seen, to go on from a snapshot to the same bits."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Restart:
    """The integrator's own state at each of the `S` snapshots of a run.

    Attributes:
        tau: (S,) the clock of unit force.
        h, last_error: (S,) the next step, and the error of the last one over what is allowed.
        after_rejection: (S,) the last step was rejected, or cut to end before the activation of a token.
        evaluations: (S,) int, forces with their rates evaluated so far.
        drift: (S,) the largest relative drift of the conserved quantity so far.
        start: (...) theta at the start.
        theta, high, low: (S, ...) and (S, n, T), of runs onto faces: where the integrator itself stands. Snapshots of
            the limit of a loss are moved onto its equalities, their logits written as those of the whole problem.
        members: (S, n, T) bool, of runs onto faces: the faces whose limit is followed, none where the loss itself is.
    """

    tau: Floats
    h: Floats
    last_error: Floats
    after_rejection: Bools
    evaluations: Ints
    drift: Floats
    start: Floats
    theta: Floats | None = None
    high: Floats | None = None
    low: Floats | None = None
    members: Bools | None = None

    @property
    def arrays(self) -> dict[str, Any]:
        """What goes into a file, by name."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def clocks(self, i: int) -> dict[str, Any]:
        """(1,) each: what every run has at snapshot `i`."""
        names = ("tau", "h", "last_error", "after_rejection", "evaluations", "drift")
        return {name: getattr(self, name)[i][None] for name in names}

    def first(self, count: int) -> "Restart":
        """At the first `count` snapshots."""
        return Restart(**{key: value if key == "start" else value[:count] for key, value in self.arrays.items()})

    def then(self, later: "Restart") -> "Restart":
        """These and those of `later` after its first, which is the last of these."""
        both = {
            key: np.concatenate([value, later.arrays[key][1:]]) for key, value in self.arrays.items() if key != "start"
        }
        return Restart(**both, start=self.start)

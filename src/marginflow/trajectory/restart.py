"""What a flow needs, beside what was seen, to go on from a snapshot to the same bits."""

from dataclasses import dataclass

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
    """

    tau: Floats
    h: Floats
    last_error: Floats
    after_rejection: Bools
    evaluations: Ints
    drift: Floats
    start: Floats

    def first(self, count: int) -> "Restart":
        """At the first `count` snapshots."""
        kept = {key: value if key == "start" else value[:count] for key, value in vars(self).items()}
        return Restart(**kept)

    def then(self, later: "Restart") -> "Restart":
        """These and those of `later` after its first, which is the last of these."""
        both = {
            key: np.concatenate([value, vars(later)[key][1:]]) for key, value in vars(self).items() if key != "start"
        }
        return Restart(**both, start=self.start)

"""The states that a run keeps, each enough to go on from."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Snapshots:
    """The states kept of one run, `S` of them; each holds all that a run needs to go on to the same bits.

    Attributes:
        theta: (S, ...) parameters as the integrator holds them.
        high, low: (S, n, T) logits as an unevaluated sum, counted from the top token of each sample.
        f: (S, n, T) the force on the logits, of unit length.
        log_time: (S,) log t; -inf at the start.
        tau: (S,) the clock of unit force.
        h, last_error, careful: (S,) what the step controller knows.
        steps, evaluations: (S,) int, spent so far; an evaluation is one force with its rates.
        drift: (S,) the largest relative drift of the conserved quantity so far.
        start: (...) theta at the start.
    """

    theta: Floats
    high: Floats
    low: Floats
    f: Floats
    log_time: Floats
    tau: Floats
    h: Floats
    last_error: Floats
    careful: Bools
    steps: Ints
    evaluations: Ints
    drift: Floats
    start: Floats

    def __len__(self) -> int:
        return len(self.log_time)

    def __repr__(self) -> str:
        return f"Snapshots({len(self)} of theta {self.theta.shape[1:]} and logits {self.high.shape[1:]})"

    def first(self, count: int) -> "Snapshots":
        """The first `count` of them."""
        kept = {key: value if key == "start" else value[:count] for key, value in vars(self).items()}
        return Snapshots(**kept)

    def then(self, later: "Snapshots") -> "Snapshots":
        """Those of `later` after these; its first, from which it went on, is the last of these."""
        both = {key: np.concatenate([value, vars(later)[key][1:]]) for key, value in vars(self).items()}
        return Snapshots(**{**both, "start": self.start})

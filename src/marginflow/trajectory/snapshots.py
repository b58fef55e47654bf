"""The states that were seen of a run."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class Snapshots:
    """The states kept of one run, `S` of them; whatever made them.

    Attributes:
        theta: (S, ...) parameters as the maker holds them.
        high, low: (S, n, T) logits as an unevaluated sum, counted from the top token of each sample.
        f: (S, n, T) the direction of -dL/ds: the force of a flow, of unit length; for a discrete method the mean
            force since the snapshot before, at any scale.
        log_time: (S,) log t; -inf at the start; nan where the maker has no time.
        steps: (S,) int, steps tried by a flow, iterations of a discrete method.
    """

    theta: Floats
    high: Floats
    low: Floats
    f: Floats
    log_time: Floats
    steps: Ints

    def __len__(self) -> int:
        return len(self.log_time)

    def __repr__(self) -> str:
        return f"Snapshots({len(self)} of theta {self.theta.shape[1:]} and logits {self.high.shape[1:]})"

    def first(self, count: int) -> "Snapshots":
        """The first `count` of them."""
        return Snapshots(**{key: value[:count] for key, value in vars(self).items()})

    def then(self, later: "Snapshots") -> "Snapshots":
        """Those of `later` after these; its first, from which it went on, is the last of these."""
        return Snapshots(**{key: np.concatenate([value, vars(later)[key][1:]]) for key, value in vars(self).items()})

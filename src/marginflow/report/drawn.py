"""The tokens that maps and points draw: those beside the reference token of every sample kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Bools, Ints
from marginflow.diagnostics.subject import Subject
from marginflow.problem.constraints import Constraints


@dataclass(frozen=True, eq=False)
class Drawn:
    """`R` tokens of the samples kept, in their order.

    Attributes:
        sample, token: (R,) which.
        shape: (n, T) of all.
        led: (R,) whether a margin of at least 1 is asked over it; else it is level with the reference, in a face.
    """

    sample: Ints
    token: Ints
    shape: tuple[int, ...]
    led: Bools

    def of(self, rows: Constraints, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(R,) of `values` (C,) that `rows` have, those of these tokens; 0 where a token has no row."""
        full = np.zeros(self.shape, dtype=values.dtype)
        full[rows.sample, rows.token] = values
        return np.asarray(full[self.sample, self.token])


def drawn(subject: Subject) -> Drawn:
    """Those of a problem: the tokens of its constraints, and in faces those whose equalities follow from others."""
    c, goal = subject.constraints, subject.goal
    beside = np.zeros(subject.problem.mask.shape, dtype=bool)
    beside[c.sample, c.token] = True
    if goal.keeps_faces:
        beside = subject.problem.mask.copy()
        beside[np.arange(len(beside)), goal.reference] = False
    kept = np.zeros(len(beside), dtype=bool)
    kept[subject.kept] = True
    sample, token = np.nonzero(beside & kept[:, None])
    led = np.zeros(beside.shape, dtype=bool)
    led[c.sample[~c.equal], c.token[~c.equal]] = True
    return Drawn(sample, token, beside.shape, led[sample, token])

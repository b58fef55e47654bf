"""When a run is recorded: steps evenly spaced on a logarithmic scale, so that long runs cost as good as nothing."""

import math
from typing import Final

import numpy as np

from marginflow.errors import InputError


PER_DECADE: Final = 12
"""Records between step k and step 10 k."""


class Clock:
    """Step 0, then the integers nearest to 10^(j / per_decade)."""

    def __init__(self, per_decade: int = PER_DECADE) -> None:
        """Start before step 0.

        Raises:
            InputError: no positive integer.
        """
        if isinstance(per_decade, bool) or not isinstance(per_decade, int) or not 1 <= per_decade <= 1000:
            raise InputError(f"per_decade: got {per_decade!r}; expected an integer from 1 to 1000")
        self.per_decade = per_decade

    def due(self, step: int) -> bool:
        """Whether `step` is one of them.

        Raises:
            InputError: no whole number.
        """
        if isinstance(step, bool) or not isinstance(step, int | np.integer):
            raise InputError(f"step: got {step!r}; expected the number of updates made so far, a whole number")
        if step < 2:
            return step >= 0
        nearest = round(self.per_decade * math.log10(step))
        # Rounding may hide the step that an exponent next to it names.
        return any(round(10 ** (j / self.per_decade)) == step for j in (nearest - 1, nearest, nearest + 1))

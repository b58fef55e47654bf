"""What the level of a row means to every solver: which rows lead, and where multipliers may go."""

from abc import ABC
from functools import cached_property

import numpy as np

from marginflow.arrays import Bools, Floats


class AbstractLevels(ABC):
    """Rows with `level` (C,) 1 or 0 and `equal` (C,) bool, however the rows themselves are kept."""

    level: Floats
    equal: Bools

    @cached_property
    def leads(self) -> Bools:
        """(C,) the rows of positive level."""
        leads: Bools = self.level > 0.0
        return leads

    @cached_property
    def floor(self) -> Floats:
        """(C,) what the multipliers are at least: 0, or nothing for equalities."""
        floor: Floats = 0.0 * self.level
        floor[self.equal] = -np.inf
        return floor

    @cached_property
    def plain(self) -> bool:
        """Whether every row is one of level 1."""
        return bool(self.leads.all())

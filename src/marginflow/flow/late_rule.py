"""Where late steps are taken: by what a run is at alone, so that a run resumed takes the same ones."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.flow.control import MANY_ACTIVE, acts
from marginflow.flow.point import Point
from marginflow.model.objective import Objective


TURNING: Final = 0.3
"""The force of a better token from which its sample is in transition: Rodas follows that."""

FEW: Final = 60
"""Tokens in the force up to which Rodas follows a better token's coming in."""

COMING: Final = np.exp(-7.0)
"""The force from which a token counts as in it."""


MANY_FROM: Final = 10.0
"""How many times the least lead late steps are taken from while more tokens act than `MANY_ACTIVE`."""


@dataclass(frozen=True)
class LateRule:
    """Where the late step is taken (docs/flow.md 13): it is faster there, at the accuracy asked for.

    Attributes:
        rtol: accuracies from which on (rtol of at least this) its order 2 is enough.
        tokens: the problem's number of tokens, padding included, from which it pays where W is not linear in the
            parameters; `linear_tokens` where it is, with fewer contacts.
        lead: the least lead from which; four times that while more tokens act than a linear system of theirs is worth.
    """

    rtol: float = 1e-4
    tokens: int = 300
    linear_tokens: int = 1500
    lead: float = 30.0

    def covers(self, objective: Objective, at: Point, rtol: float) -> bool:
        """Whether the runs at `at` take late steps at all, once their leads are large enough."""
        plain = objective.held is None and objective.lead_of is None and not objective.tokens.by_head
        many = self.linear_tokens if objective.map.linear else self.tokens
        staged = plain and objective.map.staged and not objective.loss.of_log
        return staged and rtol >= self.rtol and at.ds[0].size >= many

    def takes(self, objective: Objective, at: Point, h: Floats, rtol: float) -> Bools:
        """(B,) the runs at `at` whose next step is a late one."""
        never = np.zeros(len(h), dtype=bool)
        if not self.covers(objective, at, rtol):
            return never
        lead = at.force.gap.min(axis=1)
        out = lead >= self.lead
        if not out.any():
            return never
        top, tokens = at.force.top[..., None], objective.tokens
        scores = np.broadcast_to(tokens.scores, at.ds.shape)
        # A token of the top's score may share its weight: none of the formulas is about that.
        tied = tokens.mask & (scores == np.take_along_axis(scores, top, axis=2))
        out &= (tied.sum(axis=2) == 1).all(axis=1)
        below = at.force.f.copy()
        np.put_along_axis(below, top, 0.0, axis=2)
        better = below.max(axis=(1, 2))
        few = (np.abs(below) > COMING).sum(axis=(1, 2)) <= FEW
        out &= (better < TURNING) & ~(few & (better > COMING))
        if at.ds[0].size > MANY_ACTIVE:
            out &= (lead >= MANY_FROM * self.lead) | (acts(at, h, rtol).sum(axis=1) <= MANY_ACTIVE)
        return np.asarray(out)

"""The faces that attention is on at a state, whichever they are: those of a loss in R^k need not be the least one's."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.losses import AbstractOutputLoss
from marginflow.losses.abstract import token_values
from marginflow.model.face_limit import ATTAINED, FaceLimit
from marginflow.model.face_limits import face_limit
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization
from marginflow.optimal_attention.by_output import faces_by_output
from marginflow.problem.problem import Problem


LEADS: Final = (30.0, 25.0, 20.0, 16.0, 13.0, 10.0, 8.0, 6.0, 4.5, 3.0, 2.0)
"""Where a row is cut in two, the largest first: tokens that lead less than this behind the top one may be members."""

TIED: Final = 1e-9
"""An effective score nearer than this to that of the face, of what the row's may differ by, is not told apart."""


@dataclass(eq=False)
class HeldFaces:
    """Finds the faces that logits are on; sets of tokens already looked at are remembered.

    A face (a set of tokens per row) is held with the lead x if every token outside is behind the top one of its row by
    x or more, the loss on the tokens of the face alone is least at one point with a share for each, and the logits are
    there: up to what e^-x pulls at.
    """

    problem: Problem
    loss: AbstractOutputLoss
    diagonal: bool
    known: dict[bytes, FaceLimit | None] = field(default_factory=dict)

    def at(self, high: Floats, low: Floats) -> tuple[FaceLimit | None, float]:
        """The limit of the faces that logits (n, T) are on, those of the largest lead, and that lead.

        Without any, None and the least lead of a top token.
        """
        rough = high + low
        behind = np.where(self.problem.mask, rough.max(axis=1, keepdims=True) - rough, np.inf)
        looked: Bools | None = None
        for cut in LEADS:
            members = behind < cut
            if looked is not None and (members == looked).all():
                continue
            looked = members
            limit = self.of(members)
            if limit is None:
                continue
            lead = limit.lead_if_held(high, low)
            if lead is not None:
                return limit, lead
        second = np.sort(behind, axis=1)[:, 1]
        return None, float(second.min())

    def lead(self, high: Floats, low: Floats) -> Floats:
        """(B,) the lead out of the faces held, of logits (B, n, T)."""
        return np.array([self.at(*pair)[1] for pair in zip(high, low, strict=True)])

    def of(self, members: Bools) -> FaceLimit | None:
        """The limit of the faces `members` (n, T); None where they are none."""
        key = np.packbits(members).tobytes()
        if key not in self.known:
            self.known[key] = self._limit(members)
        return self.known[key]

    def _limit(self, members: Bools) -> FaceLimit | None:
        if (members == self.problem.mask).all():
            return None
        found = faces_by_output(self.problem, self.loss, members)
        if not (found.members == members).all() or not found.unique.all() or found.finite is None:
            return None
        limit = FaceLimit(self.problem, self.loss, found)
        if self.diagonal and limit.lack_of_diagonals > ATTAINED:
            return None
        slope = np.abs(self.loss.gradient(limit.outputs, self.problem.labels))[self.problem.output]
        values = token_values(self.problem)
        size = (np.ptp(values, axis=1) * slope).sum(axis=1) / self.problem.counts[0]
        i, token = limit.outside.sample, limit.outside.token
        own = found.shares[i, found.reference[i]]
        return limit if (np.abs(limit.kappa[i, token]) > TIED * own * size[i]).all() else None


@lru_cache(maxsize=64)
def held_faces(problem: Problem, loss: AbstractOutputLoss, diagonal: bool) -> HeldFaces:
    """That of `problem` under `loss`, one for all runs on it with such weights."""
    return HeldFaces(problem, loss, diagonal)


def objective_of(
    problems: Sequence[Problem], parameterization: AbstractParameterization, loss: AbstractOutputLoss
) -> Objective:
    """`Objective.of` with the leads and the excess of the faces that its flow goes to, where there are such."""
    objective, limit = Objective.of(problems, parameterization, loss), face_limit(problems[0], loss)
    if limit is None:
        return objective
    if objective.values is None:
        return replace(objective, lead_of=limit.lead)
    held = held_faces(problems[0], loss, parameterization.diagonal)
    return replace(objective, lead_of=held.lead, excess_of=limit.log_excess)

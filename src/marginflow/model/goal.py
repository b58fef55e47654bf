"""What the least loss asks of attention: a token a row, or faces of several tokens with shares."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.losses import AbstractOutputLoss
from marginflow.losses.abstract import scalar
from marginflow.model.force import log_excess
from marginflow.model.logits import Logits
from marginflow.model.outputs import Outputs
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem


class AbstractGoal(ABC):
    """Where attention is at the least loss, and how far logits are from it: what a run is compared with.

    Attributes:
        problem, loss: whose least loss it is.
        words: what it is, for people.
    """

    problem: Problem
    loss: AbstractOutputLoss
    words: ClassVar[str]

    @property
    @abstractmethod
    def keeps_faces(self) -> bool:
        """Whether it is predicted as faces with shares, as of values and of cyclic next tokens; else a token a row."""

    @property
    @abstractmethod
    def reference(self) -> Ints:
        """(n,) the token of each row that the others are compared with."""

    @property
    @abstractmethod
    def members(self) -> Bools:
        """(n, T) the tokens that keep a share."""

    @property
    @abstractmethod
    def shares(self) -> Floats:
        """(n, T) how they share the attention."""

    @property
    @abstractmethod
    def constraints(self) -> Constraints:
        """`C` of the reference tokens against all others: equalities inside a face, margins of 1 out of it."""

    @abstractmethod
    def lead(self, high: Floats, low: Floats) -> Floats:
        """(B,) the least lead of a reference token over a token that gets no share, of logits (B, n, T)."""

    @abstractmethod
    def log_excess(self, high: Floats, low: Floats) -> Floats:
        """(B,) log(L - L*) of logits (B, n, T)."""

    @abstractmethod
    def finite(self, diagonal: bool) -> Floats:
        """(d, d_z) the part of W that stays finite, of weights of this kind; (), 0 where all of it grows."""

    def growing(self, W: Floats, diagonal: bool) -> Floats:
        """`W` (d, d_z), or (H, d, d_z), less the part that stays finite: what margins and norms are taken of."""
        return W - self.finite(diagonal)


@final
@dataclass(frozen=True, eq=False)
class TokenGoal(AbstractGoal):
    """The optimal token of every row."""

    problem: Problem
    loss: AbstractOutputLoss
    words = "the optimal tokens"

    @property
    def keeps_faces(self) -> bool:
        return False

    @property
    def reference(self) -> Ints:
        return self.problem.optimal

    @cached_property
    def members(self) -> Bools:
        return np.asarray(np.arange(self.problem.T) == self.problem.optimal[:, None])

    @property
    def shares(self) -> Floats:
        return self.members.astype(np.float64)

    @property
    def constraints(self) -> Constraints:
        return self.problem.constraints()

    def lead(self, high: Floats, low: Floats) -> Floats:
        i, token = self.constraints.sample, self.constraints.token
        top = self.reference[i]
        lead = (high[:, i, top] - high[:, i, token]) + (low[:, i, top] - low[:, i, token])
        return np.asarray(lead.min(axis=1, initial=np.inf))

    def log_excess(self, high: Floats, low: Floats) -> Floats:
        """From the carried logits (theory 3.3)."""
        problem = self.problem
        scores, optimal, mask = problem.scores[None], problem.optimal[None], problem.mask[None]
        return log_excess(Logits(high, low), scores, optimal, mask, scalar(self.loss), Outputs.of(problem))

    def finite(self, diagonal: bool) -> Floats:
        return np.zeros(())

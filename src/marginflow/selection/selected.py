"""The tokens that a run is on at its last snapshot, beside the optimal ones."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.problem.problem import Problem
from marginflow.trajectory.snapshots import Snapshots


@dataclass(frozen=True, eq=False)
class Selected:
    """Where the attention of a run stands.

    Attributes:
        problem: what is trained on.
        logits: (n, T) up to a shift of each sample.
    """

    problem: Problem
    logits: Floats

    @classmethod
    def last(cls, problem: Problem, snapshots: Snapshots) -> "Selected":
        """That of the last of `snapshots`."""
        return cls(problem, snapshots.high[-1] + snapshots.low[-1])

    @cached_property
    def tokens(self) -> Ints:
        """(n,) the token of largest logit of each sample."""
        return np.asarray(self.logits.argmax(axis=1))

    @cached_property
    def scores(self) -> Floats:
        """(n,) theirs."""
        return np.asarray(self.problem.scores[np.arange(self.problem.n), self.tokens])

    @cached_property
    def wrong(self) -> tuple[tuple[int, int], ...]:
        """Samples that are on a token of lower score than their optimal one, each with that token."""
        problem = self.problem
        behind = self.scores < problem.scores[np.arange(problem.n), problem.optimal]
        return tuple((int(i), int(self.tokens[i])) for i in np.flatnonzero(behind))

    @property
    def least_lead(self) -> float:
        """The least lead of a selected token over one of another score."""
        differs = self.problem.mask & (self.problem.scores != self.scores[:, None])
        other = np.where(differs, self.logits, -np.inf).max(axis=1)
        return float((self.logits.max(axis=1) - other).min())

    @cached_property
    def least_margins(self) -> tuple[float, float]:
        """The least leads of the selected tokens over one of a smaller and over one of a larger score; inf for none."""
        own = self.logits[np.arange(self.problem.n), self.tokens][:, None] - self.logits
        scores, mask = self.problem.scores, self.problem.mask
        worse, better = mask & (scores < self.scores[:, None]), mask & (scores > self.scores[:, None])
        return float(own.min(initial=np.inf, where=worse)), float(own.min(initial=np.inf, where=better))

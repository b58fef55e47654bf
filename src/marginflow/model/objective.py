"""The mean loss of a batch of runs as a function of their parameters, and the way back (theory 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.losses import AbstractLoss, AbstractOutputLoss
from marginflow.losses.abstract import scalar
from marginflow.model.force import Force, force, log_excess
from marginflow.model.heads import map_of
from marginflow.model.held import Held
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization, AbstractParameterMap
from marginflow.model.values import Values
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Objective:
    """theta -> weights -> logits -> loss for `B` runs that share one shape of problem.

    Attributes:
        map: from parameters theta (B, ...) to weights.
        tokens: from weights to logits (B, n, T), with scores and mask.
        loss: of each output.
        held: margins that the flow must not change, where there are such.
        lead_of: the lead that grows, of logits high and low (B, n, T), where it is not that over all other scores.
        values: what tokens contribute to outputs in R^k, instead of scores.
        excess_of: of `values`, log(L - L*) of logits high and low (B, n, T).
    """

    map: AbstractParameterMap
    tokens: Tokens
    loss: AbstractOutputLoss
    held: Held | None = None
    lead_of: Callable[[Floats, Floats], Floats] | None = None
    values: Values | None = None
    excess_of: Callable[[Floats, Floats], Floats] | None = None

    @classmethod
    def of(
        cls, problems: Sequence[Problem], parameterization: AbstractParameterization, loss: AbstractOutputLoss
    ) -> "Objective":
        """The objective of `problems`, which have one shape: one for each run, or a single one that all share.

        Of tokens with values it is one problem; what leads and excess are, is then for the caller to say.
        """
        first = problems[0]
        tokens = Tokens.of(problems, diagonal=parameterization.diagonal)
        values = None if first.values is None else Values.of(first, loss)
        return cls(map_of(parameterization, first), tokens, loss, values=values)

    @cached_property
    def scalar_loss(self) -> AbstractLoss:
        """The loss where tokens have scores."""
        return scalar(self.loss)

    def keep(self, runs: Bools) -> "Objective":
        """That of the runs in `runs` (B,)."""
        return replace(self, tokens=self.tokens.keep(runs))

    def logits(self, theta: Floats) -> Logits:
        """The logits of parameters (B, ...), from one float64 each."""
        return Logits.of(self.tokens.logits(self.map.weights(theta)), self.tokens.mask)

    def lead(self, s: Logits, force: Force) -> Floats:
        """(B,) the least lead that a run is followed by: over tokens of other scores, or `lead_of`."""
        return force.gap.min(axis=1) if self.lead_of is None else self.lead_of(s.high, s.low)

    def force(self, s: Logits) -> Force:
        """-dL/ds at the logits `s`: its unit direction and the log of its size."""
        if self.values is not None:
            return self.values.force(s)
        return force(s, self.tokens.scores, self.scalar_loss, self.tokens.outputs)

    def log_excess(self, s: Logits) -> Floats:
        """(B,) log(L - L*)."""
        tokens = self.tokens
        if self.excess_of is not None:
            return self.excess_of(s.high, s.low)
        best = np.where(tokens.mask, tokens.scores, -np.inf).argmax(axis=2)
        return log_excess(s, tokens.scores, best, tokens.mask, self.scalar_loss, tokens.outputs)

    def rise(self, before: Logits, after: Logits) -> Floats:
        """(B,) by how much of itself the excess, or the loss of outputs in R^k, rises from `before` to `after`."""
        if self.values is None:
            return np.asarray(self.log_excess(after) - self.log_excess(before))
        first, last = (self.values.mean_loss(s.high + s.low) for s in (before, after))
        return np.asarray((last - first) / np.maximum(np.abs(first), 1e-300))


def runs_of_one_shape(problems: Sequence[Problem], models: Sequence[AbstractParameterization]) -> list[list[int]]:
    """The runs whose problems and parameters have one shape, and the same outputs and heads, together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, (p, model) in enumerate(zip(problems, models, strict=True)):
        groups.setdefault((*p.X.shape, p.d_z, p.output.tobytes(), p.head.tobytes(), model), []).append(i)
    return list(groups.values())

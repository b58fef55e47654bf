"""Partial selections with weights and multipliers of their two problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.attractors.balls import Singles
from marginflow.attractors.screen import AbstractNodes


@dataclass(frozen=True, eq=False)
class PairedNodes(AbstractNodes):
    """Partial selections of the first k samples of an order.

    Attributes:
        alpha: (B, k) the token of each sample, in that order.
        dual: (2, B, k, T) multipliers against the worse tokens, and against worse and better ones.
        weights: (2, B, p) weights of the two problems.
        margin: (B,) weights[0] separate the worse tokens by this much; not positive when they do not.
        lower: (B,) no weights with margins of 1 against worse and better tokens have a smaller norm.
        upper: (B,) some weights with margins of 1 against the worse tokens have this norm.
        separated: (B,) some weights separate the worse and the better tokens.
        children: (B, T) the tokens of the next sample that are still possible.
    """

    alpha: Ints
    dual: Singles
    weights: Singles
    margin: Floats
    lower: Floats
    upper: Floats
    separated: Bools
    children: Bools

    def part(self, rows: slice | Ints | Bools) -> "PairedNodes":
        """Some of the nodes."""
        return PairedNodes(
            self.alpha[rows],
            self.dual[:, rows],
            self.weights[:, rows],
            self.margin[rows],
            self.lower[rows],
            self.upper[rows],
            self.separated[rows],
            self.children[rows],
        )

    def joined(self, others: Sequence["PairedNodes"]) -> "PairedNodes":
        """These nodes and `others` of the same depth."""
        every = [self, *others]
        return PairedNodes(
            np.concatenate([x.alpha for x in every]),
            np.concatenate([x.dual for x in every], axis=1),
            np.concatenate([x.weights for x in every], axis=1),
            np.concatenate([x.margin for x in every]),
            np.concatenate([x.lower for x in every]),
            np.concatenate([x.upper for x in every]),
            np.concatenate([x.separated for x in every]),
            np.concatenate([x.children for x in every]),
        )

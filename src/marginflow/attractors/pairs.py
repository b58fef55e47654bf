"""Partial selections with weights and multipliers of their two problems."""

from dataclasses import dataclass

from marginflow.arrays import Bools, Floats, Singles
from marginflow.attractors.screen import AbstractNodes


@dataclass(frozen=True, eq=False)
class PairedNodes(AbstractNodes):
    """Partial selections, with the bounds known of them.

    Attributes:
        weights: (2, B, p) weights of the two problems.
        margin: (B,) weights[0] separate the worse tokens by this much; not positive when they do not.
        lower: (B,) no weights with margins of 1 against worse and better tokens have a smaller norm.
        upper: (B,) some weights with margins of 1 against the worse tokens have this norm.
        separated: (B,) some weights separate the worse and the better tokens.
    """

    weights: Singles
    margin: Floats
    lower: Floats
    upper: Floats
    separated: Bools

    @property
    def known_separated(self) -> Bools:
        """(B,) `separated`."""
        return self.separated

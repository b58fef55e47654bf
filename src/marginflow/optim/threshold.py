"""Where an optimiser stops being what it is expected to be: a speed, a margin, or a gap (docs/theory.md 7.4 to 7.7)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Threshold:
    """A line in a picture of gap, margin and speed.

    Attributes:
        kind: which of the three is meant.
        at: its value; a speed is a growth of the margin a step.
        words: what happens there.
        norm: of the gap that is meant; "" for others.
    """

    kind: Literal["speed", "margin", "gap"]
    at: float
    words: str
    norm: str = ""

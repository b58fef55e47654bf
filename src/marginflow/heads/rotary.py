"""Rotary positions: each pair of rows turns by its own angle per position (RoFormer, arXiv 2104.09864, eq. 15)."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from marginflow.arrays import Floats, as_floats, frozen
from marginflow.errors import InputError


Pairing = Literal["halves", "neighbours"]
PAIRINGS: Final[tuple[Pairing, ...]] = ("halves", "neighbours")


@dataclass(frozen=True, eq=False)
class Rotary:
    """The rotation of a head's rows at a position.

    Attributes:
        angles: (p,) float64, radians per position; pair j turns by `position * angles[j]`.
        pairing: "halves": pair j is rows j and p + j; "neighbours": rows 2j and 2j + 1. Rows from 2p on stay.
    """

    angles: Floats
    pairing: Pairing = "halves"

    def __init__(self, angles: Floats, pairing: Pairing = "halves") -> None:
        """Check and keep a read-only copy.

        Raises:
            InputError: not a list of finite angles, or an unknown pairing.
        """
        if pairing not in PAIRINGS:
            raise InputError(f"pairing: got {pairing!r}; expected one of {', '.join(PAIRINGS)}")
        object.__setattr__(self, "angles", frozen(as_floats("angles", angles, 1)))
        object.__setattr__(self, "pairing", pairing)

    @property
    def rows(self) -> tuple[slice, slice]:
        """The first and the second rows of the pairs."""
        p = len(self.angles)
        return (slice(0, p), slice(p, 2 * p)) if self.pairing == "halves" else (slice(0, 2 * p, 2), slice(1, 2 * p, 2))

    @property
    def turned(self) -> int:
        """How many rows turn, 2p."""
        return 2 * len(self.angles)

    def apply(self, vectors: Floats, positions: Floats | float) -> Floats:
        """Turn `vectors` (..., m) by `positions`, a number or (...); rows are the last axis."""
        phase = np.multiply.outer(np.asarray(positions, dtype=np.float64), self.angles)
        cos, sin = np.cos(phase), np.sin(phase)
        first, second = self.rows
        out = np.array(vectors, dtype=np.float64)
        a, b = out[..., first].copy(), out[..., second].copy()
        out[..., first] = a * cos - b * sin
        out[..., second] = b * cos + a * sin
        return out

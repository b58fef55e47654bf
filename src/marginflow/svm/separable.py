"""Separable or not, with a proof (stub until the proofs land)."""

from dataclasses import dataclass

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints


@dataclass(frozen=True, eq=False)
class Separability:
    separable: bool | None
    proof: str
    W: Floats | None = None
    farkas: Floats | None = None


def separability(
    constraints: Constraints, diagonal: bool = False, *, hint: Floats | None = None
) -> Separability:
    return Separability(None, "undecided")

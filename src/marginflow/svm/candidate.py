"""What a solver hands to the door: numbers to be certified, never believed."""

from dataclasses import dataclass, field

from marginflow.arrays import Floats


@dataclass(frozen=True, eq=False)
class Candidate:
    """A primal and a dual guess in the user's scaling; `solve` certifies them over every constraint.

    Attributes:
        W: (d, d_z), or (d,) for diagonal norms; any positive multiple of the guess.
        dual: (C,) nonnegative; any positive multiple of the guess.
        ray: (C,) nonnegative dual direction along which the dual grew, where the solver saw one: the
            candidate proof of infeasibility.
        iterations: how many steps each stage took, by the stage's name.
    """

    W: Floats
    dual: Floats
    ray: Floats | None = None
    iterations: dict[str, int] = field(default_factory=dict)

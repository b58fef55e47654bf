"""What is expected of a run beforehand: a norm, or none with the number that says why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The norm that a run is expected to minimise among weights of its margin.

    Attributes:
        norm: its name; None for no prediction.
        why: what it rests on, or why there is none, with the number that says so.
    """

    norm: str | None
    why: str

    def but(self, why: str) -> "Prediction":
        """No prediction after all, for this reason."""
        return Prediction(None, why)

"""What the rounded differences of tokens in memory leave out: asked for by proofs in rational numbers alone."""

from dataclasses import dataclass

from marginflow.arrays import Floats, Ints
from marginflow.rounding import difference_errors


@dataclass(frozen=True, eq=False)
class ExactDifferences:
    """x_selected - x_token in exact arithmetic.

    Attributes:
        X: (n, T, d) the tokens.
        selected: (n,) the token selected in each sample.
    """

    X: Floats
    selected: Ints

    def errors(self, sample: Ints, token: Ints) -> Floats:
        """(k, d) what the exact differences of the constraints (sample, token) exceed the rounded ones by."""
        return difference_errors(self.X[sample, self.selected[sample]], self.X[sample, token])

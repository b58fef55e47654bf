"""What a nonlinear implicit stage asks of a parameterisation."""

from abc import ABC, abstractmethod

from marginflow.arrays import Floats
from marginflow.model.token_rows import TokenRows


class AbstractStage(ABC):
    """The linear algebra of a nonlinear implicit stage of one run (docs/flow.md 13): theta' is linear in theta up to a
    constant, so that the stage's theta = base + theta'/a is the solution of one linear system for every G.

    M is then symmetric positive semidefinite: entry (c, e) is the logit of token c in phi'(A0^-1 phi'* of token e).
    """

    @abstractmethod
    def solve(self, right: Floats) -> Floats:
        """A0^-1 `right`, both (1, ...) shaped as theta."""

    @abstractmethod
    def at(self, theta: Floats) -> "AbstractStage":
        """The same G and a, with phi' at another theta (1, ...)."""

    def has_gram_of(self, other: "AbstractStage") -> bool:
        """Whether M is that of another stage of the same parameterisation, known without making either."""
        return False

    @abstractmethod
    def gram(self, rows: TokenRows, out: Floats) -> None:
        """Write M between tokens into `out` (A, A), at least what is below the diagonal and on it."""

    @abstractmethod
    def coupling(self, rows: TokenRows, columns: TokenRows) -> Floats:
        """M between any two lists of tokens."""

    @abstractmethod
    def own(self, rows: TokenRows) -> Floats:
        """(A,) the diagonal of M."""

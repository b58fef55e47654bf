"""What ends are listed of."""

from dataclasses import dataclass, replace

from marginflow.losses import AbstractLoss
from marginflow.model.registry import AbstractParameterization
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Question:
    """Where does this flow end?

    Attributes:
        problem: tokens, queries and scores.
        model: what is trained, with everything in numbers.
        loss: of every output.
    """

    problem: Problem
    model: AbstractParameterization
    loss: AbstractLoss

    def of_head(self, h: int) -> "Question":
        """The same of one head of the problem by itself."""
        return replace(self, problem=self.problem.of_head(h))

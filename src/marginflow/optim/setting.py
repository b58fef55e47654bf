"""What a prediction is asked about: data, parameterisation, rate, decay, length; with certified margins."""

from dataclasses import dataclass
from functools import lru_cache

from marginflow.errors import InputError, UndefinedError
from marginflow.model.parameterization import AbstractParameterization
from marginflow.optim.decay import AbstractDecay
from marginflow.optim.rate import AbstractRate
from marginflow.problem.problem import Problem
from marginflow.svm.solve import solve


@dataclass(frozen=True)
class Setting:
    """One run beforehand.

    Attributes:
        problem, parameterization: what is trained.
        rate, decay: how.
        iterations: steps.
        batch: samples in each step; None for all.
    """

    problem: Problem
    parameterization: AbstractParameterization
    rate: AbstractRate
    decay: AbstractDecay | None
    iterations: int
    batch: int | None

    def gamma(self, norm: str) -> float | None:
        """The largest margin of weights of norm 1, certified from below; None where the SVM has no solution."""
        found = _solved(self.problem, norm)
        return None if isinstance(found, str) else 1.0 / found

    def unsolved(self, norm: str) -> str:
        """Why there is no such number; "" where there is one."""
        found = _solved(self.problem, norm)
        return found if isinstance(found, str) else ""

    def speed(self, gamma: float, joint: bool) -> float:
        """The margin that a step of length 1 times the rate adds late in the run."""
        degree = self.parameterization.degree
        return self.rate.late_speed(degree, gamma, 0.5 if joint and degree == 2 else 1.0)


@lru_cache(maxsize=64)
def _solved(problem: Problem, norm: str) -> float | str:
    """The certified value from above, or why there is none: solved once for a problem and a norm."""
    try:
        solution = solve(problem, norm)
    except (InputError, UndefinedError) as error:
        return str(error)
    if solution.status.name != "optimal":
        return f"the {norm} SVM is {solution.status.name}"
    return float(solution.certificate.upper)

"""One sentence for `describe` and `flow`: where training can end, when that is cheap to prove."""

from typing import Final

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.find import EUCLIDEAN, attractors
from marginflow.errors import UndefinedError
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.problem import Problem
from marginflow.selection.rule import capped


def known_ends(problem: Problem, parameterization: AbstractParameterization | str) -> Attractors | None:
    """The complete list of ends if the problem is small enough to enumerate in a moment; else None.

    Its `sentence` says no more than was proved; `only_minimal_loss` and `below(zero_loss)` are the facts.
    """
    model = parse_parameterization(parameterization)
    if not problem.plain or capped(model, problem):
        return None
    try:
        candidates = Candidates.of(problem, model.diagonal)
    except UndefinedError:
        return None
    if candidates.count > _EUCLIDEAN:
        return None
    limit = _DEPENDENT if not candidates.independent else _EUCLIDEAN if model.flow_norm in EUCLIDEAN else _SPECTRAL
    if candidates.count > limit:
        return None
    found = attractors(problem, model)
    return found if found.complete else None


_EUCLIDEAN: Final = 4_000
_SPECTRAL: Final = 1_000
_DEPENDENT: Final = 300
"""Selections that take a tenth of a second or two."""

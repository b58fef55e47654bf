"""One sentence for `describe` and `flow`: where training can end, when that is cheap to prove."""

from typing import Final

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.find import attractors
from marginflow.attractors.one_head import EUCLIDEAN
from marginflow.attractors.product import EndsOfHeads
from marginflow.errors import InputError, UndefinedError
from marginflow.losses import AbstractLoss, AbstractOutputLoss, parse_output_loss
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.problem import Problem
from marginflow.selection.rule import capped


def known_ends(
    problem: Problem, parameterization: AbstractParameterization | str, loss: str | AbstractOutputLoss | None = None
) -> Attractors | EndsOfHeads | None:
    """The complete list of ends if the problem is small enough to enumerate in a moment; else None.

    Its `sentence` says no more than was proved; `only_minimal_loss` and `below(zero_loss)` are the facts. None also
    where the rule is not derived (tokens with values, losses that keep several tokens).
    """
    model, loss = parse_parameterization(parameterization), parse_output_loss(loss)
    if problem.values is not None or not isinstance(loss, AbstractLoss):
        return None
    heads = [problem] if problem.plain else [problem.of_head(h) for h in range(problem.counts[1])]
    if not all(_small(head, model) for head in heads):
        return None
    try:
        found = attractors(problem, model, loss=loss)
    except InputError:
        return None
    return found if found.complete else None


def _small(problem: Problem, model: AbstractParameterization) -> bool:
    """Whether all selections of one head are decided in a tenth of a second or two."""
    if capped(model, problem):
        return False
    try:
        candidates = Candidates.of(problem, model.diagonal)
    except UndefinedError:
        return False
    if candidates.count > _EUCLIDEAN:
        return False
    limit = _DEPENDENT if not candidates.independent else _EUCLIDEAN if model.flow_norm in EUCLIDEAN else _SPECTRAL
    return candidates.count <= limit


_EUCLIDEAN: Final = 4_000
_SPECTRAL: Final = 1_000
_DEPENDENT: Final = 300
"""Selections that take a tenth of a second or two."""

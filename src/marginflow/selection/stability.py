"""The rule for one selection: at the SVM against its worse tokens every better token's margin exceeds 1."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.selection.factored_kkt import KktPoint
from marginflow.selection.optimal_margins import OptimalMargins
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve


class Verdict(Enum):
    """What the rule says of a selection."""

    attractor = "attractor: an open set of starts ends here"
    left = "left: no attracting end with these tokens"
    undecided = "undecided"
    unseen = "unseen: local search found no attracting end with these tokens"


@dataclass(frozen=True, eq=False)
class Decision:
    """The verdict on one selection and what shows it.

    Attributes:
        selected: (n,) the tokens.
        verdict, reason: the rule's answer.
        solution: the SVM against the worse tokens; None where there is nothing to solve.
        turns: where the selection is left, (sample, token) of the better or tied token that takes over; else None.
        stability: the least margin of a better token at the SVM; inf when no token is better.
        stability_lower: a number that every better margin exceeds at every optimum.
        point: under a rank cap, the KKT point of the factors that `stability` was read at; else None.
    """

    selected: Ints
    verdict: Verdict
    reason: str
    solution: Solution | None
    stability: float
    stability_lower: float
    point: KktPoint | None = None
    turns: tuple[int, int] | None = None


def decide(problem: Problem, norm: str, selected: Ints, tol: float = 1e-9) -> Decision:
    """Apply the rule to `selected` (n,) in `norm` (theory 9; proved parts in docs/attractors.md).

    Ties are neither worse nor better, but the selected token must lead them: if the SVM puts a tied token on
    top, the end belongs to the selection with that token.
    """
    worse = problem.constraints(selected, against="worse")
    if len(worse) == 0:
        reason = "no token is worse than a selected one: the loss would have to rise to get here"
        return Decision(selected, Verdict.left, reason, None, -np.inf, -np.inf)
    solution = solve(problem, norm, tol, selected, against="worse")
    if solution.status is SvmStatus.infeasible:
        reason = "no weights select these tokens"
        return Decision(selected, Verdict.left, reason, solution, -np.inf, -np.inf)
    if solution.status is SvmStatus.inaccurate:
        return Decision(selected, Verdict.undecided, f"its SVM: {solution.reason}", solution, np.nan, -np.inf)
    decision = _better(problem, selected, solution)
    return _tied(problem, decision) if decision.verdict is Verdict.attractor else decision


def _better(problem: Problem, selected: Ints, solution: Solution) -> Decision:
    better = problem.constraints(selected, against="better")
    if len(better) == 0:
        return Decision(selected, Verdict.attractor, "no token is better", solution, np.inf, np.inf)
    margins = OptimalMargins(solution, better)
    values = margins.values
    b = int(values.argmin())
    least = float(values[b])
    name = f"token {better.token[b]} of sample {better.sample[b]}"
    if least < 1.0 and margins.most_below(b, 1.0) < 1.0:
        reason, turns = f"better {name} has margin {least:.6g} < 1", (int(better.sample[b]), int(better.token[b]))
        return Decision(selected, Verdict.left, reason, solution, least, -np.inf, turns=turns)
    lower = min(margins.least_above(int(c), 1.0) for c in np.flatnonzero(values <= least + _NEAR * abs(least)))
    far = np.flatnonzero(values > least + _NEAR * abs(least))
    lower = min([lower, *(margins.least_above(int(c), 1.0) for c in far)]) if lower > 1.0 else lower
    if lower > 1.0:
        reason = f"every better margin exceeds {lower:.6g}"
        return Decision(selected, Verdict.attractor, reason, solution, least, lower)
    reason = f"better {name} has margin {least:.6g}, bounded below only by {lower:.6g}"
    return Decision(selected, Verdict.undecided, reason, solution, least, lower)


def _tied(problem: Problem, decision: Decision) -> Decision:
    """`decision`, an attractor as far as better tokens go, asked whether it leads the tokens of equal score."""
    tied = tied_constraints(problem, decision.selected)
    if len(tied) == 0:
        return decision
    assert decision.solution is not None
    margins = OptimalMargins(decision.solution, tied)
    for c in np.argsort(margins.values):
        name = f"tied token {tied.token[c]} of sample {tied.sample[c]}"
        if margins.least_above(int(c), 0.0) > 0.0:
            continue
        if margins.most_below(int(c), 0.0) < 0.0:
            turns = (int(tied.sample[c]), int(tied.token[c]))
            return replace(decision, verdict=Verdict.left, reason=f"{name} leads the selected one", turns=turns)
        return replace(decision, verdict=Verdict.undecided, reason=f"{name} stays level with the selected one")
    return decision


def tied_constraints(problem: Problem, selected: Ints) -> Constraints:
    """The rows x_selected - x_l for every other token l of equal score that looks different."""
    rows = np.arange(problem.n)
    own = problem.scores[rows, selected][:, None]
    a: Floats = problem.X[rows, selected][:, None, :] - problem.X
    keep = problem.mask & (problem.scores == own) & a.any(axis=2)
    sample, token = np.nonzero(keep)
    return Constraints(a[sample, token], sample, problem.z, token)


_NEAR: Final = 0.05
"""Better margins within this of the least are bounded first: one of them decides if any does."""

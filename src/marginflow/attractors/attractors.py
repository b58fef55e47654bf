"""The list of possible ends and what may be missing from it."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.end import below, entry
from marginflow.attractors.shares import Share, over_all
from marginflow.losses import EXPONENTIAL, AbstractLoss
from marginflow.model.outputs import Outputs
from marginflow.model.registry import AbstractParameterization
from marginflow.problem.problem import Problem
from marginflow.selection.stability import Decision


@dataclass(frozen=True, eq=False)
class Attractor:
    """One end: tokens that an open set of starts selects in the limit.

    Attributes:
        decision: the SVM and the margins that show it.
        optimal: whether it is the minimal loss.
        excess: its loss above the minimal one.
        tied: other selections that differ only by tokens of equal score and are ends as well.
        shares: of the sampled starts, one for each scale; () when none were run.
    """

    decision: Decision
    optimal: bool
    excess: float
    tied: tuple[Decision, ...] = ()
    shares: tuple[Share, ...] = ()

    @property
    def selected(self) -> Ints:
        """(n,) the token of each sample."""
        return self.decision.selected

    @property
    def value(self) -> float:
        """The norm of its SVM solution, or KKT point: late weights are margin times value long."""
        if self.decision.point is not None:
            return self.decision.point.value
        assert self.decision.solution is not None
        return self.decision.solution.value

    @property
    def gap(self) -> float:
        """The certified relative gap of `value`; nan at a KKT point, for which there is none."""
        if self.decision.point is not None:
            return float("nan")
        assert self.decision.solution is not None
        return self.decision.solution.certificate.gap

    @property
    def stability(self) -> float:
        """The least better-token margin; above 1, and inf for the minimal loss."""
        return self.decision.stability

    @property
    def stability_lower(self) -> float:
        """What `stability` is at least, certified."""
        return self.decision.stability_lower

    @property
    def share(self) -> float | None:
        """The share of all sampled starts that ended here."""
        return over_all(self.shares)

    def to_dict(self) -> dict[str, Any]:
        """The entry of `marginflow attractors --json`."""
        point = self.decision.point
        return {
            **entry(self),
            "tied": [d.selected for d in self.tied],
            "kkt": None if point is None else {name: getattr(point, name) for name in _RESIDUALS},
        }


@dataclass(frozen=True, eq=False)
class Attractors:
    """Every selection that passes the rule, by excess.

    Attributes:
        problem, parameterization: what was asked.
        attractors: the ends found.
        undecided: selections that no bound decides.
        complete: every selection was decided and the rule is proved to apply.
        incomplete_because: why it is not complete; () when it is.
        separable: whether weights exist that select every optimal token; None for undecided.
        infinite: every run must go to infinity; False means that a run may also end at finite weights, or
            share a sample's attention among tokens, which no list of selections shows.
        visited: selections and partial selections looked at.
        elsewhere: sampled runs that ended in no attractor, with the rule's reason.
        missing: with sampled runs, a 95 % bound of the share of starts whose end they did not show.
    """

    problem: Problem
    parameterization: AbstractParameterization
    attractors: tuple[Attractor, ...]
    undecided: tuple[Decision, ...]
    complete: bool
    incomplete_because: tuple[str, ...]
    separable: bool | None
    infinite: bool
    visited: int
    elsewhere: tuple[Decision, ...] = ()
    missing: float | None = None
    scales: tuple[float, ...] = field(default=())
    loss: AbstractLoss = EXPONENTIAL

    def __len__(self) -> int:
        return len(self.attractors)

    def find(self, selected: Any) -> Attractor | None:
        """The end that `selected` (n,) belongs to, up to tokens of equal score; None if there is none."""
        key = score_class(self.problem, self.problem.selection(selected))
        return next((a for a in self.attractors if score_class(self.problem, a.selected) == key), None)

    @property
    def only_minimal_loss(self) -> bool:
        """Proved: no selection but the optimal one is an attracting end."""
        return self.complete and len(self.attractors) == 1 and self.attractors[0].optimal

    @property
    def zero_loss(self) -> float:
        """The loss at W = 0, where small starts begin."""
        return loss_of_equal_shares(self.problem, self.loss)

    def below(self, loss: float) -> tuple[Attractor, ...]:
        """The ends below `loss`: a run that starts at that loss can meet no other, for loss only falls."""
        return below(self.attractors, least_loss(self.problem, self.loss), loss)

    @property
    def sentence(self) -> str:
        """What the list says about training, no more than was proved."""
        if self.only_minimal_loss:
            return "the minimal loss is the only attracting selection of tokens" + (
                "" if self.infinite else "; ends at finite weights are not excluded"
            )
        if not self.complete:
            found = "1 selection" if len(self) == 1 else f"{len(self)} selections"
            return f"{found} of tokens found that training can end on; the list may be incomplete: " + "; ".join(
                self.incomplete_because
            )
        reach = self.below(loss_near_zero(self.problem, self.loss))
        near = "a start near zero can meet "
        if len(reach) == 1 and reach[0].optimal and self.infinite:
            return f"{self._listed}; {near}only the minimal loss"
        return f"{self._listed}; {near}{'each' if len(reach) == len(self) else f'{len(reach)} of them'}"

    @property
    def _listed(self) -> str:
        """How many ends of which kind, in words."""
        traps = sum(not a.optimal for a in self.attractors)
        if not len(self):
            return "no selection of tokens is an attracting end"
        said = "1 trap, a selection" if traps == 1 else f"{traps} traps, selections"
        where = "only on" if traps == len(self) else "on the minimal loss or on"
        return f"training can end {where} {said} of tokens with wrong ones"

    def to_dict(self) -> dict[str, Any]:
        """The object of `marginflow attractors --json`."""
        return {
            "complete": self.complete,
            "attractors": [a.to_dict() for a in self.attractors],
            "separable": self.separable,
            "incomplete_because": self.incomplete_because,
            "undecided": [{"selected": d.selected, "reason": d.reason} for d in self.undecided],
            "infinite": self.infinite,
            "below_zero_loss": len(self.below(self.zero_loss)),
            "elsewhere": [{"selected": d.selected, "reason": d.reason} for d in self.elsewhere],
            "missing": self.missing,
            "visited": self.visited,
            "problem": self.problem.name,
            "parameterization": self.parameterization.word,
            "norm": self.parameterization.flow_norm,
            "sentence": self.sentence,
        }


def score_class(problem: Problem, selected: Ints) -> tuple[float, ...]:
    """The scores of the selected tokens: equal for selections that differ only among ties."""
    return tuple(problem.scores[np.arange(problem.n), selected].tolist())


def excess(problem: Problem, selected: Ints, loss: AbstractLoss = EXPONENTIAL) -> float:
    """The loss with all attention on `selected`, above the minimal one: the mean over outputs."""
    rows = np.arange(problem.n)
    lost = problem.scores[rows, problem.optimal] - problem.scores[rows, selected]
    return mean_gain(problem.best_outputs, Outputs(problem.output).sum(lost), loss)


def mean_gain(best: Floats, lost: Floats, loss: AbstractLoss) -> float:
    """The mean over outputs of l(best - lost) - l(best), best and lost (O,)."""
    with np.errstate(divide="ignore"):
        # log(e^lost - 1), which overflows for no `lost`.
        behind = lost + np.log(-np.expm1(-lost))
    return float(np.exp(loss.log_gain(best, behind, np.zeros_like(best))).mean())


def loss_of_equal_shares(problem: Problem, loss: AbstractLoss) -> float:
    """The loss at W = 0, where small starts begin."""
    weight = problem.mask / problem.lengths[:, None]
    output = Outputs(problem.output).sum((weight * problem.scores).sum(axis=1))
    return float(loss.value(output[:, None]).mean())


def loss_near_zero(problem: Problem, loss: AbstractLoss) -> float:
    """What ends must reach for starts near W = 0 to miss them: such starts lose a little more than W = 0 itself."""
    zero, least = loss_of_equal_shares(problem, loss), least_loss(problem, loss)
    return zero + _ROUNDING * (abs(zero) + abs(least))


def least_loss(problem: Problem, loss: AbstractLoss) -> float:
    """The loss with all attention on the optimal tokens."""
    return float(loss.value(problem.best_outputs[:, None]).mean())


_ROUNDING: Final = 1e-12
"""Of losses, relative: an end as high as W = 0 is not taken for one below or above it."""

_RESIDUALS: Final = ("epsilon", "delta", "curvature", "spectral")
"""What `--json` says of a KKT point."""

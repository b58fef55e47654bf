"""What the end of a discrete run means: what the flow's theorem gives to steps, and what it does not."""

from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.documents import page
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss
from marginflow.model.force import log_excess
from marginflow.model.heads import of_head
from marginflow.model.logits import Logits
from marginflow.model.outputs import Outputs
from marginflow.problem.problem import Problem
from marginflow.selection.barrier import log_barrier
from marginflow.selection.selected import Selected
from marginflow.selection.stability import decide
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


ASKED_FROM: Final = 20.0
"""A lead from which other tokens weigh less than e^-20: before, a selection may still change by itself."""


def judge_steps(problem: Problem, loss: AbstractLoss, snapshots: Snapshots, ended: Ended, norm: str | None) -> Verdict:
    """The verdict on a run of steps.

    Below the barrier every optimal token leads, every constraint pulls, and whatever never lifts the loss back over
    the barrier keeps that (docs/flow.md 7). The flow cannot lift it. A step can, so that its loss has stayed below
    since is a measurement: proof "observed".
    """
    s = Logits(snapshots.high, snapshots.low)
    best, mask = problem.optimal[None], problem.mask[None]
    excess = log_excess(s, problem.scores[None], best, mask, loss, Outputs.of(problem))
    last, barrier = float(excess[-1]), log_barrier(problem, loss)
    if last < barrier:
        above = np.flatnonzero(~(excess < barrier))
        since = int(snapshots.steps[above[-1] + 1 if len(above) else 0])
        return Verdict(
            FlowStatus.minimal_loss,
            f"the excess exp({rounding.text_up(last, 6)}) is below the barrier exp({rounding.text_down(barrier, 6)}), "
            "and has been in every snapshot since "
            f"iteration {since}: every sample is on its optimal token for as long as no step lifts the loss back over "
            f"the barrier (theorem in {page('flow')}), which the flow cannot do and steps have not done",
            "observed",
            last,
            barrier,
        )
    selected = Selected.last(problem, snapshots)
    if not selected.wrong:
        reason = (
            f"every sample is on its optimal token, but the excess exp({rounding.text_down(last, 6)}) is not yet below "
            f"the barrier exp({rounding.text_up(barrier, 6)}); {ended.advice}"
        )
    else:
        reason = (
            f"samples {', '.join(str(i) for i, _ in selected.wrong[:6])} are not on their optimal token; "
            f"{_rule(selected, norm)}; {ended.advice}"
        )
    return Verdict(FlowStatus.undecided, reason, "", last, barrier, selected.wrong)


def _rule(selected: Selected, norm: str | None) -> str:
    """What the rule of theory 9 says of the tokens selected, asked in the run's own norm: no verdict."""
    if norm is None:
        return "the rule for traps asks for a norm that the run minimises, and none is predicted"
    lead = selected.least_lead
    if lead < ASKED_FROM:
        return f"the least lead is {lead:.4g}, below the {ASKED_FROM:g} from which the rule for traps is asked"
    problem = selected.problem
    heads = [of_head(problem, h) for h in range(problem.counts[1])]
    try:
        said = [decide(own, norm, selected.tokens[rows]) for rows, own in heads]
    except InputError as error:
        return f"the rule for traps cannot be asked: {error}"
    whose = [f"head {h}: " for h in range(len(said))] if len(said) > 1 else [""]
    calls = "; ".join(f"{of}{one.verdict.name} ({one.reason})" for of, one in zip(whose, said, strict=True))
    return (
        f"in the {norm} norm the rule calls these tokens {calls}; that a run stays with "
        f"them is a theorem of the flow ({page('attractors', '2')}), not shown for steps"
    )

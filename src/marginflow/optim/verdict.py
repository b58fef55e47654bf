"""What the end of a discrete run means: what the flow's theorem gives to steps, and what it does not."""

import numpy as np

from marginflow.model.force import log_excess
from marginflow.model.logits import Logits
from marginflow.model.loss import AbstractLoss
from marginflow.problem.problem import Problem
from marginflow.selection.barrier import log_barrier
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


def judge_steps(problem: Problem, loss: AbstractLoss, snapshots: Snapshots, ended: Ended, norm: str | None) -> Verdict:
    """The verdict on a run of steps.

    Below the barrier every optimal token leads, every constraint pulls, and whatever never lifts the loss back over
    the barrier keeps that (docs/flow.md 7). The flow cannot lift it. A step can, so that its loss has stayed below
    since is a measurement: proof "observed".
    """
    s = Logits(snapshots.high, snapshots.low)
    best, mask = problem.optimal[None], problem.mask[None]
    excess = log_excess(s, problem.scores[None], best, mask, loss)
    last, barrier = float(excess[-1]), log_barrier(problem, loss)
    if last < barrier:
        above = np.flatnonzero(~(excess < barrier))
        since = int(snapshots.steps[above[-1] + 1 if len(above) else 0])
        return Verdict(
            FlowStatus.minimal_loss,
            f"the excess exp({last:.6g}) is below the barrier exp({barrier:.6g}), and has been in every snapshot since "
            f"iteration {since}: every sample is on its optimal token for as long as no step lifts the loss back over "
            "the barrier (theorem in docs/flow.md), which the flow cannot do and steps have not done",
            "observed",
            last,
            barrier,
        )
    selected = (s.high + s.low)[-1].argmax(axis=1)
    rows = np.arange(problem.n)
    behind = problem.scores[rows, selected] < problem.scores[rows, problem.optimal]
    wrong = tuple((int(i), int(selected[i])) for i in np.flatnonzero(behind))
    if not wrong:
        reason = (
            f"every sample is on its optimal token, but the excess exp({last:.6g}) is not yet below the barrier "
            f"exp({barrier:.6g}); {ended.advice}"
        )
    else:
        own = (
            "has no norm of its own here"
            if norm is None
            else f"takes steps, to which the bound in the {norm} norm does not carry"
        )
        reason = (
            f"{len(wrong)} samples are not on their optimal token; that a flow is trapped is a theorem of the flow "
            f"(docs/attractors.md 2), and this run {own}; {ended.advice}"
        )
    return Verdict(FlowStatus.undecided, reason, "", last, barrier, wrong)

"""What the end of a flow means: a theorem for minimal loss, the stable-selection rule for traps (docs/flow.md)."""

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.abstract import AbstractParameterization
from marginflow.flow.force import Logits, Loss, log_excess
from marginflow.flow.trajectory import FlowStatus, Snapshots, Verdict
from marginflow.problem.problem import Problem


def log_barrier(problem: Problem, loss: Loss) -> float:
    """log of an excess below which the flow cannot but reach the minimal loss (derived in docs/flow.md).

    An excess below (1/n) (l(gamma_o - kappa D) - l(gamma_o)) for every sample, with D its least score gap and
    kappa = 1/(4 copies of the optimal token), keeps every optimal token in the lead and every constraint
    pulling; the loss cannot rise, so this lasts, and the excess goes to 0.
    """
    rows = np.arange(problem.n)
    best = problem.scores[rows, problem.optimal]
    behind = problem.mask & (problem.scores < best[:, None])
    copies = (problem.mask & ~behind).sum(axis=1)
    gap = np.where(behind, best[:, None] - problem.scores, np.inf).min(axis=1)
    delta = gap / (4.0 * copies)
    if loss == "exponential":
        gain = np.log(np.expm1(np.minimum(delta, 700.0))) - best
    else:
        gain = _log_logistic_gain(best, delta)
    return float(gain.min() - np.log(problem.n))


def _log_logistic_gain(gamma: Floats, delta: Floats) -> Floats:
    """log(l(gamma - delta) - l(gamma)) for l(u) = log(1 + e^-u), delta > 0."""
    inside = np.log(np.expm1(np.minimum(delta, 700.0))) - np.logaddexp(0.0, gamma)
    small = inside < -37.0
    return np.where(small, inside, np.log(np.maximum(np.logaddexp(0.0, inside), 1e-300)))


def judge(
    problem: Problem,
    parameterization: AbstractParameterization,
    snapshots: Snapshots,
    loss: Loss,
    ended: str,
) -> Verdict:
    """The verdict on a run that stopped at its last snapshot, `ended` saying why."""
    s = Logits(snapshots.high[-1:], snapshots.low[-1:])
    excess = float(
        log_excess(s, problem.scores[None], problem.optimal[None], problem.mask[None], loss)[0]
    )
    barrier = log_barrier(problem, loss)
    selected = (s.high + s.low)[0].argmax(axis=1)
    rows = np.arange(problem.n)
    behind = problem.scores[rows, selected] < problem.scores[rows, problem.optimal]
    wrong = tuple((int(i), int(selected[i])) for i in np.flatnonzero(behind))
    if excess < barrier:
        return Verdict(
            FlowStatus.minimal_loss,
            f"the excess exp({excess:.6g}) is below the barrier exp({barrier:.6g}), which the flow cannot climb "
            "back over, and under it every constraint pulls (theorem in docs/flow.md)",
            "barrier",
            excess,
            barrier,
        )
    return Verdict(
        FlowStatus.undecided,
        f"the excess exp({excess:.6g}) is above the barrier exp({barrier:.6g})",
        "",
        excess,
        barrier,
        wrong,
    )

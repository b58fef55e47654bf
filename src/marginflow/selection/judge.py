"""What the end of a flow means: a theorem for minimal loss, the stable-selection rule for traps (docs/flow.md)."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.model.force import log_excess
from marginflow.model.logits import Logits
from marginflow.model.loss import AbstractLoss
from marginflow.model.parameterization import AbstractParameterization
from marginflow.norms import parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.selection import stability
from marginflow.selection.barrier import log_barrier
from marginflow.selection.factored_kkt import kkt_point
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


RULE_MARGIN: Final = 1e3
"""The least lead from which the rule is applied: earlier it was wrong in 2 of 600 runs, later in none (design 7)."""

CLOSE: Final = 1.25
"""Norm over margin, relative to the SVM of the selection, from which the rule speaks of the run's own direction."""

CLEAR: Final = 1.02
"""How far, relative to the least acting margin, the better tokens of the run itself must be behind, or half as
far as at the SVM."""

BEHIND: Final = 20.0
"""And how far in all: their weight is then e^-20 of what acts."""

NEAR: Final = 0.3
"""Relative distance of a rank-capped run from the KKT point of the factors at which that point speaks for it."""


@dataclass(eq=False)
class Judge:
    """Judges snapshots of runs on one problem; selections already looked at are remembered."""

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractLoss
    known: dict[tuple[int, ...], stability.Decision] = field(default_factory=dict)

    def __call__(self, snapshots: Snapshots, ended: str) -> Verdict:
        """The verdict on a run whose last snapshot is the last of `snapshots`, `ended` saying why it stopped."""
        problem = self.problem
        s = Logits(snapshots.high[-1:], snapshots.low[-1:])
        best, mask = problem.optimal[None], problem.mask[None]
        excess = float(log_excess(s, problem.scores[None], best, mask, self.loss)[0])
        barrier = log_barrier(problem, self.loss)
        if excess < barrier:
            return Verdict(
                FlowStatus.minimal_loss,
                f"the excess exp({excess:.6g}) is below the barrier exp({barrier:.6g}), which the flow cannot "
                "climb back over, and under it every constraint pulls (theorem in docs/flow.md)",
                "barrier",
                excess,
                barrier,
            )
        leads = (s.high + s.low)[0]
        selected = leads.argmax(axis=1)
        rows = np.arange(problem.n)
        behind = problem.scores[rows, selected] < problem.scores[rows, problem.optimal]
        wrong = tuple((int(i), int(selected[i])) for i in np.flatnonzero(behind))
        if not wrong:
            return self._undecided(
                "every sample is on its optimal token, but the excess "
                f"exp({excess:.6g}) is not yet below the barrier exp({barrier:.6g}); {_STOPPED[ended]}",
                excess,
                barrier,
                wrong,
            )
        reach = _least_lead(leads, problem, selected)
        if reach < RULE_MARGIN:
            return self._undecided(
                f"the least lead is {reach:.6g}, below the {RULE_MARGIN:g} from which a trap can be told from a "
                f"slow run; {_STOPPED[ended]}",
                excess,
                barrier,
                wrong,
            )
        return self._of_selection(snapshots, leads, selected, excess, barrier, wrong, ended)

    def _of_selection(
        self,
        snapshots: Snapshots,
        leads: Floats,
        selected: Ints,
        excess: float,
        barrier: float,
        wrong: tuple[tuple[int, int], ...],
        ended: str,
    ) -> Verdict:
        """Some sample is on a wrong token and the margins are large: ask the SVM of what is selected."""
        key = tuple(int(t) for t in selected)
        if key not in self.known:
            self.known[key] = stability.decide(self.problem, self.parameterization.flow_norm, selected)
        decision = self.known[key]
        solution = decision.solution
        better = self.problem.constraints(selected, against="better")
        ahead = _margins(leads, selected, better)
        if solution is None or solution.status.name == "infeasible":
            reason = f"{decision.reason} in samples {_samples(wrong)}, so the selection will be left"
            return self._undecided(reason, excess, barrier, wrong)
        acting = float(_margins(leads, selected, solution.constraints).min())
        size = _size(self.parameterization, snapshots, self.problem)
        closeness = size / (acting * solution.certificate.lower) if acting > 0 else np.inf
        clear = float(ahead.min(initial=np.inf)) / acting
        numbers = (decision.stability_lower, closeness)
        if self.parameterization.too_narrow(self.problem.d, self.problem.d_z, solution.rank):
            return self._under_a_cap(snapshots, selected, acting, clear, excess, barrier, wrong, numbers)
        needed = min(CLEAR, 1.0 + (decision.stability_lower - 1.0) / 2.0)
        behind = clear >= needed and (clear - 1.0) * acting >= BEHIND
        if decision.verdict is stability.Verdict.attractor and closeness <= CLOSE and behind:
            return Verdict(
                FlowStatus.trapped,
                f"samples {_samples(wrong)} stay on a wrong token: at the {solution.norm.name} SVM of the selected "
                f"tokens every better token's margin exceeds {decision.stability_lower:.6g} > 1 (certified), and "
                f"the run is within a factor {closeness:.6g} of that SVM with its better tokens at {clear:.4g} "
                "times the least margin (rule of docs/flow.md)",
                "svm",
                excess,
                barrier,
                wrong,
                *numbers,
            )
        if decision.verdict is stability.Verdict.left:
            return self._leaving(decision, better, ahead, acting, excess, barrier, wrong, numbers)
        if decision.verdict is stability.Verdict.attractor:
            reason = (
                f"the selected tokens are a possible end, but the run's direction is a factor {closeness:.4g} from "
                f"their SVM and its better tokens at {clear:.4g} times the least margin; {_STOPPED[ended]}"
            )
        else:
            reason = decision.reason
        return self._undecided(reason, excess, barrier, wrong, *numbers)

    def _leaving(
        self,
        decision: stability.Decision,
        better: Constraints,
        ahead: Floats,
        acting: float,
        excess: float,
        barrier: float,
        wrong: tuple[tuple[int, int], ...],
        numbers: tuple[float, float],
    ) -> Verdict:
        """Which better token takes over, and at about which margin: where the straight lines of margins cross."""
        assert decision.solution is not None
        slopes = better.margins(decision.solution.W)
        b = int(np.argmin(slopes))
        when = acting
        if slopes[b] < 1.0:
            when = max(acting, (float(ahead[b]) - float(slopes[b]) * acting) / (1.0 - float(slopes[b])))
        leaves = (int(better.sample[b]), int(better.token[b]))
        reason = (
            f"the selection will be left: {decision.reason}; sample {leaves[0]} turns to token {leaves[1]} when the "
            f"margin is about {when:.2g}"
        )
        return self._undecided(reason, excess, barrier, wrong, *numbers, leaves=leaves)

    def _under_a_cap(
        self,
        snapshots: Snapshots,
        selected: Ints,
        acting: float,
        clear: float,
        excess: float,
        barrier: float,
        wrong: tuple[tuple[int, int], ...],
        numbers: tuple[float, float],
    ) -> Verdict:
        """The width is below the SVM's rank: the limit is a KKT point of the factors, sought from where the run is."""
        arrays = self.parameterization.map(self.problem.d, self.problem.d_z).unpack(snapshots.theta[-1])
        point = kkt_point(self.problem, selected, arrays["K"], arrays["Q"]) if arrays.keys() == {"K", "Q"} else None
        if point is None or not point.found:
            reason = (
                "the width is below the rank of the SVM solution, and no KKT point of the factors was found from here"
            )
            return self._undecided(reason, excess, barrier, wrong, *numbers)
        W, limit = arrays["K"] @ arrays["Q"].T / acting, point.K @ point.Q.T
        away = float(np.linalg.norm(W - limit) / np.linalg.norm(limit))
        shown = (
            "the width is below the rank of the SVM solution, and at the KKT point approached (epsilon "
            f"{point.epsilon:.1e}, delta {point.delta:.1e}, curvature {point.curvature:.3g}) the least margin of a "
            f"better token is {point.stability:.6g}; the run is a relative {away:.2g} from it"
        )
        if point.left:
            return self._undecided(f"the selection will be left: {shown}", excess, barrier, wrong, *numbers)
        if point.stable and away <= NEAR and clear > 1.0 and (clear - 1.0) * acting >= BEHIND:
            reason = (
                f"samples {_samples(wrong)} stay on a wrong token: {shown}; not certified as the others (docs/flow.md)"
            )
            return Verdict(FlowStatus.trapped, reason, "kkt", excess, barrier, wrong, *numbers)
        return self._undecided(shown, excess, barrier, wrong, *numbers)

    def _undecided(
        self,
        reason: str,
        excess: float,
        barrier: float,
        wrong: tuple[tuple[int, int], ...],
        better_margin: float = np.nan,
        closeness: float = np.nan,
        leaves: tuple[int, int] | None = None,
    ) -> Verdict:
        return Verdict(FlowStatus.undecided, reason, "", excess, barrier, wrong, better_margin, closeness, leaves)


_STOPPED: Final = {
    "margin": "run to a larger margin",
    "verdict": "run to a larger margin",
    "": "run to a larger margin",
    "steps": "the steps allowed are used up",
    "floor": "float64 cannot resolve larger margins",
    "balanced": "tokens hold each other at finite leads, as when the width is below what separating weights need",
    "stalled": "the step size has reached float64's floor",
    "interrupted": "the run was interrupted",
}


def _least_lead(leads: Floats, problem: Problem, selected: Ints) -> float:
    """The least lead of a selected token over one of another score."""
    own = problem.scores[np.arange(problem.n), selected][:, None]
    other = np.where(problem.mask & (problem.scores != own), leads, -np.inf).max(axis=1)
    return float((leads.max(axis=1) - other).min())


def _margins(leads: Floats, selected: Ints, constraints: Constraints) -> Floats:
    """(C,) the margins of the run itself, from its carried logits."""
    i = constraints.sample
    return np.asarray(leads[i, selected[i]] - leads[i, constraints.token])


def _size(parameterization: AbstractParameterization, snapshots: Snapshots, problem: Problem) -> float:
    weights = parameterization.map(problem.d, problem.d_z).weights(snapshots.theta[-1:])[0]
    return parse_norm(parameterization.flow_norm).value(weights)


def _samples(wrong: tuple[tuple[int, int], ...]) -> str:
    shown = ", ".join(f"{i} (token {t})" for i, t in wrong[:6])
    return shown + (f" and {len(wrong) - 6} more" if len(wrong) > 6 else "")

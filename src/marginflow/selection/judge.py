"""What the end of a flow means: a theorem for minimal loss, another for traps (docs/flow.md)."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.losses import AbstractLoss
from marginflow.model.force import log_excess
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.selection import stability
from marginflow.selection.barrier import log_barrier
from marginflow.selection.factored_kkt import kkt_point
from marginflow.selection.selected import Selected
from marginflow.selection.trap import confine, hold
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.trajectory.ended import RUN_ON, Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


RULE_MARGIN: Final = 1e3
"""The least lead from which the rule is asked: the bounds of `trap` are loose before, and cost a solve."""


@dataclass(eq=False)
class Judge:
    """Judges snapshots of runs on one problem; selections already looked at are remembered."""

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractLoss
    known: dict[tuple[int, ...], stability.Decision] = field(default_factory=dict)

    def __call__(self, snapshots: Snapshots, ended: Ended | None) -> Verdict:
        """The verdict on a run whose last snapshot is the last of `snapshots`; `ended` says why it stopped, if so."""
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
        selected = Selected.last(problem, snapshots)
        stopped = RUN_ON if ended is None else ended.advice
        if ended is Ended.balanced and self.parameterization.too_narrow(problem.d, problem.d_z, None):
            stopped += ", as when the width is below what separating weights need"
        seen = _Seen(excess, barrier, selected.wrong, stopped)
        if not seen.wrong:
            return seen.undecided(
                "every sample is on its optimal token, but the excess "
                f"exp({excess:.6g}) is not yet below the barrier exp({barrier:.6g}); {seen.stopped}"
            )
        if selected.least_lead < RULE_MARGIN:
            return seen.undecided(
                f"the least lead is {selected.least_lead:.6g}, below the {RULE_MARGIN:g} from which a trap can be told "
                f"from a slow run; {seen.stopped}"
            )
        return self._of_selection(snapshots, selected, seen)

    def _of_selection(self, snapshots: Snapshots, at: Selected, seen: "_Seen") -> Verdict:
        """Some sample is on a wrong token and the margins are large: ask the SVM of what is selected."""
        problem, selected, leads = self.problem, at.tokens, at.logits
        key = tuple(int(t) for t in selected)
        if key not in self.known:
            self.known[key] = stability.decide(problem, self.parameterization.flow_norm, selected)
        decision = self.known[key]
        solution = decision.solution
        if solution is None or solution.status is SvmStatus.infeasible:
            reason = f"{decision.reason} in samples {_samples(seen.wrong)}, so the selection will be left"
            return seen.undecided(reason)
        margins = _margins(leads, selected, solution.constraints)
        margin = float(margins.min())
        arrays = self.parameterization.map(problem.d, problem.d_z).unpack(snapshots.theta[-1])
        log_slope = self.loss.log_slope(at.scores)
        within = confine(problem, self.parameterization, arrays, solution, selected, log_slope, margins)
        found = None if within is None else hold(problem, solution, selected, within)
        if within is not None:
            seen = replace(seen, closeness=within.reach / max(solution.certificate.lower, 1e-300))
        if found is not None and found.holds:
            return Verdict(
                FlowStatus.trapped,
                f"samples {_samples(seen.wrong)} stay on a wrong token: the {solution.norm.name} norm over the least "
                f"acting margin stays within a factor {seen.closeness:.6g} of the SVM of the selected tokens, and "
                f"{found.sentence} (theorem in docs/attractors.md, section 2)",
                "confined",
                seen.excess,
                seen.barrier,
                seen.wrong,
                found.better,
                seen.closeness,
            )
        narrow = self.parameterization.too_narrow(problem.d, problem.d_z, solution.rank)
        if narrow and arrays.keys() == {"K", "Q"}:
            return self._under_a_cap(arrays, selected, margin, seen)
        if decision.verdict is stability.Verdict.left:
            return self._leaving(decision, leads, margin, seen)
        if decision.verdict is not stability.Verdict.attractor:
            return seen.undecided(decision.reason)
        certain = (
            _UNKNOWN.format(self.parameterization.word)
            if self.parameterization.norm_bound(arrays) is None
            else "the run is too near its start for any bound on where it can still go"
            if found is None
            else f"all that is certain is that norm over margin stays within a factor {seen.closeness:.4g} of their "
            f"SVM, and {found.sentence}"
        )
        return seen.undecided(f"the selected tokens are a possible end, but {certain}; {seen.stopped}")

    def _leaving(self, decision: stability.Decision, leads: Floats, margin: float, seen: "_Seen") -> Verdict:
        """The token that takes over, and at about which margin: where the straight lines of margins cross."""
        assert decision.solution is not None and decision.turns is not None
        i, token = decision.turns
        selected = int(decision.selected[i])
        problem, W = self.problem, decision.solution.W
        slope = float((problem.X[i, selected] - problem.X[i, token]) @ W @ problem.z[i])
        # A better token takes over when its margin falls below the least acting one, a tied one below zero.
        level = 1.0 if problem.scores[i, token] > problem.scores[i, selected] else 0.0
        ahead = float(leads[i, selected] - leads[i, token])
        when = max(margin, (ahead - slope * margin) / (level - slope)) if slope < level else margin
        reason = (
            f"the selection will be left: {decision.reason}; sample {i} turns to token {token} when the "
            f"margin is about {when:.2g}"
        )
        return seen.undecided(reason, leaves=decision.turns)

    def _under_a_cap(self, arrays: dict[str, Floats], selected: Ints, margin: float, seen: "_Seen") -> Verdict:
        """The width is below the SVM's rank: the limit is a KKT point of the factors, sought from where the run is."""
        point = kkt_point(self.problem, selected, arrays["K"], arrays["Q"])
        if point is None or not point.found:
            return seen.undecided(
                "the width is below the rank of the SVM solution, and no KKT point of the factors was found from here"
            )
        W, limit = arrays["K"] @ arrays["Q"].T / margin, point.K @ point.Q.T
        away = float(np.linalg.norm(W - limit) / np.linalg.norm(limit))
        shown = (
            "the width is below the rank of the SVM solution, and at the KKT point approached (epsilon "
            f"{point.epsilon:.1e}, delta {point.delta:.1e}, curvature {point.curvature:.3g}) the least margin of a "
            f"better token is {point.stability:.6g}; the run is a relative {away:.2g} from it"
        )
        if point.left:
            return seen.undecided(f"the selection will be left: {shown}")
        if point.stable:
            return seen.undecided(f"the selected tokens are a possible end: {shown}, which is no bound")
        return seen.undecided(shown)


@dataclass(frozen=True)
class _Seen:
    """What every verdict on a run that is off its optimal tokens says of it, whatever it concludes."""

    excess: float
    barrier: float
    wrong: tuple[tuple[int, int], ...]
    stopped: str
    closeness: float = np.nan

    def undecided(self, reason: str, leaves: tuple[int, int] | None = None) -> Verdict:
        """Nothing is settled, for this reason."""
        return Verdict(
            FlowStatus.undecided,
            reason,
            "",
            self.excess,
            self.barrier,
            self.wrong,
            closeness=self.closeness,
            leaves=leaves,
        )


def _margins(leads: Floats, selected: Ints, constraints: Constraints) -> Floats:
    """(C,) the margins of the run itself, from its carried logits."""
    i = constraints.sample
    return np.asarray(leads[i, selected[i]] - leads[i, constraints.token])


def _samples(wrong: tuple[tuple[int, int], ...]) -> str:
    shown = ", ".join(f"{i} (token {t})" for i, t in wrong[:6])
    return shown + (f" and {len(wrong) - 6} more" if len(wrong) > 6 else "")


_UNKNOWN: Final = "{} does not say what its parameters need for a norm of W (`least_energy`), so nothing bounds it"

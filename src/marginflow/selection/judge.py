"""What the end of a flow means: a theorem for minimal loss, another for traps (docs/flow.md)."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.documents import page
from marginflow.losses import AbstractOutputLoss
from marginflow.losses.abstract import scalar
from marginflow.model.face_limit import FACE_LEAD, FaceLimit
from marginflow.model.face_limits import face_limit
from marginflow.model.force import log_excess
from marginflow.model.heads import map_of, of_head
from marginflow.model.logits import Logits
from marginflow.model.outputs import Outputs
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.selection import stability
from marginflow.selection.barrier import log_barrier
from marginflow.selection.every_weight import every_weight
from marginflow.selection.factored_kkt import kkt_point
from marginflow.selection.holding import Holding
from marginflow.selection.of_values import JudgeOfValues
from marginflow.selection.selected import Selected
from marginflow.selection.trap import BEHIND, Part, confine
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.trajectory.ended import RUN_ON, Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


BALANCED: Final = 1e-3
"""How far from the balance, beyond rounding, logits inside a face may be: rtol 1e-6 leaves less at a lead of 20."""

RULE_MARGIN: Final = 1e3
"""The least lead from which the rule is asked: the bounds of `trap` are loose before, and cost a solve."""


@dataclass(eq=False)
class Judge:
    """Judges snapshots of runs on one problem; selections already looked at are remembered."""

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractOutputLoss
    known: dict[tuple[int, ...], stability.Decision] = field(default_factory=dict)

    @cached_property
    def heads(self) -> list[tuple[Ints, Problem]]:
        """The rows of every head, and the problem that they are alone."""
        if self.problem.counts[1] == 1:
            return [(np.arange(self.problem.n), self.problem)]
        return [of_head(self.problem, h) for h in range(self.problem.counts[1])]

    @cached_property
    def log_barrier(self) -> float:
        """The log excess below which the loss is known to go to its minimum."""
        if self.of_values is not None:
            return self.of_values.log_barrier
        return log_barrier(self.problem, scalar(self.loss))

    @cached_property
    def holding(self) -> Holding:
        """What asks whether tokens are kept."""
        return Holding(self.parameterization)

    @cached_property
    def of_values(self) -> JudgeOfValues | None:
        """What judges where tokens have values."""
        if self.problem.values is None:
            return None
        return JudgeOfValues(self.problem, self.parameterization, self.loss)

    def __call__(
        self, snapshots: Snapshots, ended: Ended | None, *, held: bool = True, in_passing: bool = False
    ) -> Verdict:
        """The verdict on a run whose last snapshot is the last of `snapshots`; `ended` says why it stopped, if so.

        Where the tokens selected are not `held` for long enough to be worth an SVM, none is solved. `in_passing` only
        a certain verdict counts: what cannot lead to one is left out, and the reason for none is a short one.
        """
        problem = self.problem
        if self.of_values is not None:
            return self.of_values(snapshots, ended)
        limit = face_limit(problem, self.loss)
        if limit is not None:
            return self._onto_face(limit, snapshots, ended)
        loss = scalar(self.loss)
        s = Logits(snapshots.high[-1:], snapshots.low[-1:])
        best, mask = problem.optimal[None], problem.mask[None]
        excess = float(log_excess(s, problem.scores[None], best, mask, loss, Outputs.of(problem))[0])
        barrier = self.log_barrier
        if excess < barrier:
            return Verdict(
                FlowStatus.minimal_loss,
                f"the excess exp({rounding.text_up(excess, 6)}) is below the barrier "
                f"exp({rounding.text_down(barrier, 6)}), which the flow cannot "
                f"climb back over, and under it every constraint pulls (theorem in {page('flow')})",
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
                f"every sample is on its optimal token, but the excess exp({rounding.text_down(excess, 6)}) is not yet "
                f"below the barrier exp({rounding.text_up(barrier, 6)}); {seen.stopped}"
            )
        if selected.least_lead < RULE_MARGIN:
            return seen.undecided(
                f"the least lead is {selected.least_lead:.6g}, below the {RULE_MARGIN:g} from which a trap can be told "
                f"from a slow run; {seen.stopped}"
            )
        if not held:
            return seen.undecided(f"the run has changed its tokens lately; {seen.stopped}")
        worse, better = selected.least_margins
        if in_passing and not better > worse + BEHIND:
            # Every bound is over a set that has this W in it.
            return seen.undecided(f"a better token is {better:.6g} behind, the least worse one {worse:.6g}")
        return self._of_selection(snapshots, selected, seen, in_passing)

    def _onto_face(self, limit: FaceLimit, snapshots: Snapshots, ended: Ended | None) -> Verdict:
        """The least loss keeps several tokens of a row: is attention on its faces, by how much?"""
        high, low = snapshots.high[-1:], snapshots.low[-1:]
        lead, excess = float(limit.lead(high, low)[0]), float(limit.log_excess(high, low)[0])
        if lead < FACE_LEAD:
            stopped = RUN_ON if ended is None else ended.advice
            return Verdict(
                FlowStatus.undecided,
                f"the least lead out of the faces of the least loss is {lead:.6g}, below the {FACE_LEAD:g} from which "
                f"the tokens outside weigh nothing; {stopped}",
                "",
                excess,
            )
        reached = (
            f"attention is on the faces of the least loss {limit.faces.minimal_loss:.6g} by a lead of {lead:.6g}, with "
            f"an excess of exp({excess:.6g})"
        )
        why, proof = self._not_proved(limit, snapshots.theta[-1]), ""
        if why is None:
            why = "the loss is convex in the parameters, so that its flow goes to the infimum from every start"
            proof = "convex"
        status = FlowStatus.minimal_loss if proof else FlowStatus.undecided
        return Verdict(status, f"{reached}; {why}", proof, excess)

    def _not_proved(self, limit: FaceLimit, theta: Floats) -> str | None:
        """Why a run on its faces may not be one to the least loss; None where that is proved."""
        if not limit.faces.decided.all():
            return "which tokens the faces have is not proved"
        phi = map_of(self.parameterization, self.problem)
        off, rounded = limit.off_balance(phi.weights(theta[None])[0])
        if not off <= BALANCED + rounded:
            return f"but inside them the weights are {off:.3g} from the balance, in logits, and may not reach it"
        if self.parameterization.degree != 1:
            return "the loss is not convex in the parameters, and that their flow keeps to the faces is not proved"
        if not every_weight(phi, theta):
            return "the loss is not known to be convex in the parameters, or they do not make every W"
        return None

    def _of_selection(self, snapshots: Snapshots, at: Selected, seen: "_Seen", in_passing: bool) -> Verdict:
        """Some sample is on a wrong token and the margins are large: ask the SVM of what is selected."""
        selected, leads, several = at.tokens, at.logits, self.problem.counts[1] > 1
        endless = ~np.isfinite(self._log_slope(at))
        if endless.any():
            return seen.undecided(
                f"the loss of sample {int(np.flatnonzero(endless)[0])} is infinite with all attention on its token, "
                "so the selection will be left"
            )
        decisions = [self._decision(h, selected[rows]) for h, (rows, _) in enumerate(self.heads)]
        for h, decision in enumerate(decisions):
            if decision.solution is None or decision.solution.status is SvmStatus.infeasible:
                whose = f"head {h}: " if several else ""
                reason = f"{whose}{decision.reason} in samples {_samples(seen.wrong)}, so the selection will be left"
                return seen.undecided(reason)
        arrays = map_of(self.parameterization, self.problem).unpack(snapshots.theta[-1])
        parts = self._parts(at, decisions, arrays)
        within = confine(self.parameterization, parts)
        # A better token that leads at every optimum leads somewhere in every set that holds one: no bound shows a trap.
        left = any(decision.verdict is stability.Verdict.left for decision in decisions)
        found = None if within is None or left else self.holding(parts, within, in_passing)
        solutions = [part.solution for part in parts]
        if within is not None:
            # Of several heads the one that has the most room.
            reach = [w.reach / max(s.certificate.lower, 1e-300) for w, s in zip(within, solutions, strict=True)]
            seen = replace(seen, closeness=max(reach))
        if found is not None and found.holds:
            beside = "SVM of the selected tokens" if not several else "SVM of the selected tokens in every head"
            return Verdict(
                FlowStatus.trapped,
                f"samples {_samples(seen.wrong)} stay on a wrong token: the {solutions[0].norm.name} norm over the "
                f"least acting margin stays within a factor {rounding.text_up(seen.closeness, 6)} of the {beside}, and "
                f"{found.sentence} (theorem in {page('attractors')}, section 2)",
                "confined",
                seen.excess,
                seen.barrier,
                seen.wrong,
                found.better,
                seen.closeness,
            )
        margin = min(float(part.margins.min()) for part in parts)
        for h, decision in enumerate(decisions):
            narrow = self.parameterization.too_narrow(self.problem.d, self.problem.d_z, solutions[h].rank)
            if narrow and arrays.keys() == {"K", "Q"}:
                if several:
                    return seen.undecided(f"the width is below the rank of the SVM solution of head {h}")
                return self._under_a_cap(arrays, selected, margin, seen)
            if decision.verdict is stability.Verdict.left:
                return self._leaving(h, decision, leads, margin, seen)
        for decision in decisions:
            if decision.verdict is not stability.Verdict.attractor:
                return seen.undecided(decision.reason)
        certain = (
            _UNKNOWN.format(self.parameterization.word)
            if self.parameterization.norm_bound(parts[0].arrays) is None
            else "the run is too near its start for any bound on where it can still go"
            if found is None
            else f"all that is certain is that norm over margin stays within a factor "
            f"{rounding.text_up(seen.closeness, 4)} of their "
            f"SVM, and {found.sentence}"
        )
        return seen.undecided(f"the selected tokens are a possible end, but {certain}; {seen.stopped}")

    def _decision(self, h: int, selected: Ints) -> stability.Decision:
        """What the rule says of the tokens that head `h` has selected."""
        key = (h, *(int(t) for t in selected))
        if key not in self.known:
            self.known[key] = stability.decide(self.heads[h][1], self.parameterization.flow_norm, selected)
        return self.known[key]

    def _parts(self, at: Selected, decisions: list[stability.Decision], arrays: dict[str, Floats]) -> list[Part]:
        """Every head beside the SVM of its tokens."""
        log_slope = self._log_slope(at)
        out = []
        for h, ((rows, problem), decision) in enumerate(zip(self.heads, decisions, strict=True)):
            assert decision.solution is not None
            own = arrays if len(self.heads) == 1 else {name: array[h] for name, array in arrays.items()}
            selected = at.tokens[rows]
            margins = _margins(at.logits[rows], selected, decision.solution.constraints)
            out.append(Part(problem, own, decision.solution, selected, log_slope[rows], margins))
        return out

    def _log_slope(self, at: Selected) -> Floats:
        """(n,) log(-l') of every row's output with all attention on the tokens selected."""
        outputs = Outputs(self.problem.output)
        return outputs.spread(scalar(self.loss).log_slope(outputs.sum(at.scores)))

    def _leaving(self, h: int, decision: stability.Decision, leads: Floats, margin: float, seen: "_Seen") -> Verdict:
        """The token that takes over, and at about which margin: where the straight lines of margins cross."""
        assert decision.solution is not None and decision.turns is not None
        (own, token), (rows, problem) = decision.turns, self.heads[h]
        selected, W, i = int(decision.selected[own]), decision.solution.W, int(rows[own])
        slope = float((problem.X[own, selected] - problem.X[own, token]) @ W @ problem.z[own])
        # A better token takes over when its margin falls below the least acting one, a tied one below zero.
        level = 1.0 if problem.scores[own, token] > problem.scores[own, selected] else 0.0
        ahead = float(leads[i, selected] - leads[i, token])
        when = max(margin, (ahead - slope * margin) / (level - slope)) if slope < level else margin
        reason = (
            f"the selection will be left: {decision.reason}; sample {i} turns to token {token} when the "
            f"margin is about {when:.2g}"
        )
        return seen.undecided(reason, leaves=(i, token))

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

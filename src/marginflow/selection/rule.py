"""The rule for one selection and one parameterisation, rank caps included (docs/attractors.md)."""

from dataclasses import replace

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.model.registry import AbstractParameterization, KeyQuery
from marginflow.problem.problem import Problem
from marginflow.selection.factored_kkt import KktPoint, kkt_point, kkt_points
from marginflow.selection.stability import Decision, Verdict, decide
from marginflow.svm.proof.svm_status import SvmStatus


def capped(model: AbstractParameterization, problem: Problem) -> bool:
    """Whether K and Q can be too narrow for an SVM solution: its rows lie in the span of the n queries."""
    return isinstance(model, KeyQuery) and model.columns(problem.d, problem.d_z) < largest_rank(problem)


def largest_rank(problem: Problem) -> int:
    """What the rank of no SVM solution exceeds."""
    return min(problem.d, problem.d_z, problem.n)


def judge(
    problem: Problem,
    model: AbstractParameterization,
    selected: Ints,
    tol: float,
    parameters: dict[str, Floats] | None = None,
) -> Decision:
    """The rule at the SVM of `selected` (n,), or at KKT points of the factors that are too narrow for it.

    Args:
        problem, model, tol: the question, and the certified gap of the SVM.
        parameters: where a run with these tokens stands; its own KKT point is looked at as well.
    """
    decision = decide(problem, model.flow_norm, selected, tol)
    if not isinstance(model, KeyQuery) or not capped(model, problem) or decision.solution is None:
        return decision
    if decision.solution.status is SvmStatus.infeasible:
        return decision
    rank, width = decision.solution.rank, model.columns(problem.d, problem.d_z)
    if decision.verdict is Verdict.attractor and rank is not None and rank <= width:
        return decision
    points = []
    if parameters is not None:
        near = kkt_point(problem, selected, parameters["K"], parameters["Q"])
        points += [] if near is None else [near]
    if not any(p.stable for p in points):
        points += kkt_points(problem, selected, width)
    stable = [p for p in points if p.stable]
    if stable:
        return _at(decision, max(stable, key=lambda p: p.stability))
    known = "of unknown rank" if rank is None else f"of rank {rank}"
    if decision.verdict is Verdict.attractor:
        reason = f"its SVM solution, {known}, is out of reach of width {width}, and no other end was found"
        return replace(decision, verdict=Verdict.undecided, reason=reason)
    reason = f"no attracting KKT point of width {width} was found"
    return replace(decision, verdict=Verdict.unseen, reason=reason, stability=np.nan, stability_lower=-np.inf)


def _at(decision: Decision, point: KktPoint) -> Decision:
    reason = (
        f"a KKT point of the factors (epsilon {point.epsilon:.1e}, delta {point.delta:.1e}, curvature "
        f"{point.curvature:.3g}) with every better margin at least {rounding.text_down(point.stability, 6)}"
    )
    return replace(
        decision,
        verdict=Verdict.attractor,
        reason=reason,
        stability=point.stability,
        stability_lower=-np.inf,
        point=point,
    )

"""Decisions on selections, and which of them sampled runs met."""

from collections.abc import Callable, Sequence

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.attractors import Attractor, excess, score_class
from marginflow.attractors.shares import Share
from marginflow.losses import AbstractLoss
from marginflow.model.registry import AbstractParameterization
from marginflow.problem.problem import Problem
from marginflow.selection.rule import judge
from marginflow.selection.stability import Decision, Verdict


class EndsMet:
    """Decisions on selections, and the runs that met them."""

    def __init__(
        self,
        problem: Problem,
        parameterization: AbstractParameterization,
        loss: AbstractLoss,
        tol: float,
        decisions: dict[tuple[int, ...], Decision],
    ) -> None:
        self.problem = problem
        self.parameterization = parameterization
        self.loss = loss
        self.tol = tol
        self.decisions = decisions
        self.met: list[tuple[Ints, bool]] = []
        self.counts: dict[tuple[float, tuple[float, ...]], int] = {}
        self.total = 0
        self.elsewhere: tuple[Decision, ...] = ()

    def run(
        self,
        sample: int,
        scales: Sequence[float],
        seed: int,
        until_margin: float,
        progress: Callable[[str], None] | None,
    ) -> None:
        """Integrate `sample` starts at each scale and enter where they end."""
        from marginflow.flow.integrate import integrate_many

        self.total = sample
        for scale in scales:
            paths = integrate_many(
                self.problem,
                self.parameterization,
                seeds=list(range(seed, seed + sample)),
                scale=float(scale),
                until_margin=until_margin,
                loss=self.loss,
            )
            if progress is not None:
                progress(f"{sample} runs from scale {scale:g} done")
            for path in paths:
                self._meet(path.selected(-1), float(scale), path.parameters(-1))

    def _meet(self, selected: Ints, scale: float, parameters: dict[str, Floats]) -> None:
        key = tuple(selected.tolist())
        decision = self.decisions.get(key)
        # Under a rank cap the run itself leads to its KKT point, where local search had found none.
        if decision is None or decision.verdict is Verdict.unseen:
            decision = judge(self.problem, self.parameterization, selected, self.tol, parameters)
            self.decisions[key] = decision
        ended = decision.verdict is Verdict.attractor
        self.met.append((selected, ended))
        if ended:
            place = (scale, score_class(self.problem, selected))
            self.counts[place] = self.counts.get(place, 0) + 1
        else:
            self.elsewhere = (*self.elsewhere, decision)

    def attractors(self, scales: Sequence[float]) -> tuple[Attractor, ...]:
        """The ends, selections that differ only among ties as one, by excess."""
        groups: dict[tuple[float, ...], list[Decision]] = {}
        for decision in self.decisions.values():
            if decision.verdict is Verdict.attractor:
                groups.setdefault(score_class(self.problem, decision.selected), []).append(decision)
        best = score_class(self.problem, self.problem.optimal)
        out = []
        for key, members in groups.items():
            members.sort(key=_value)
            shares = tuple(
                Share(float(s), self.counts.get((float(s), key), 0), self.total) for s in scales if self.total
            )
            loss = excess(self.problem, members[0].selected, self.loss)
            out.append(Attractor(members[0], key == best, loss, tuple(members[1:]), shares))
        return tuple(sorted(out, key=lambda a: (a.excess, a.value)))


def _value(decision: Decision) -> float:
    if decision.point is not None:
        return decision.point.value
    return np.inf if decision.solution is None else decision.solution.value

"""Decisions on selections, and which of them sampled runs met."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.attractors import Attractor, excess, score_class
from marginflow.attractors.question import Question
from marginflow.attractors.shares import Share
from marginflow.errors import InputError
from marginflow.selection.rule import judge
from marginflow.selection.stability import Decision, Verdict


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Starts:
    """Random starts whose ends are counted.

    Attributes:
        count: how many at each scale; 0 for none.
        scales: their standard deviations, () for none.
        seed: the first seed.
        until_margin: where the tokens of a run are read.
    """

    count: int
    scales: tuple[float, ...]
    seed: int
    until_margin: float

    @classmethod
    def checked(cls, count: int | None, scales: Sequence[float], seed: int, until_margin: float) -> "Starts":
        """What the user asked for.

        Raises:
            InputError: a number that no starts have.
        """
        if count is not None and (isinstance(count, bool) or count < 1):
            raise InputError(f"sample: got {count!r}; expected a whole number of at least 1")
        if count and not all(0 < s < 1e10 for s in scales):
            raise InputError(f"scales: got {list(scales)}; expected numbers above 0")
        if seed < 0:
            raise InputError(f"seed: got {seed}; expected at least 0")
        return cls(count or 0, tuple(map(float, scales)) if count else (), seed, until_margin)

    def runs(self, question: Question, progress: Callable[[str], None] | None) -> Iterator[tuple[float, "Trajectory"]]:
        """Each run, with the scale of its start."""
        from marginflow.flow.integrate import integrate_many

        for scale in self.scales:
            seeds = list(range(self.seed, self.seed + self.count))
            paths = integrate_many(
                question.problem,
                question.model,
                seeds=seeds,
                scale=scale,
                until_margin=self.until_margin,
                loss=question.loss,
            )
            if progress is not None:
                progress(f"{self.count} runs from scale {scale:g} done")
            yield from ((scale, path) for path in paths)


class EndsMet:
    """Decisions on selections, and the runs that met them."""

    def __init__(self, question: Question, tol: float, decisions: dict[tuple[int, ...], Decision]) -> None:
        self.question = question
        self.tol = tol
        self.decisions = decisions
        self.met: list[tuple[Ints, bool]] = []
        self.counts: dict[tuple[float, tuple[float, ...]], int] = {}
        self.total: dict[float, int] = {}
        self.elsewhere: tuple[Decision, ...] = ()

    def meet(self, selected: Ints, scale: float, parameters: dict[str, Floats]) -> Decision:
        """Enter a run from a start of this `scale` that ended on `selected` (n,) at `parameters`."""
        key = tuple(selected.tolist())
        decision = self.decisions.get(key)
        # Under a rank cap the run itself leads to its KKT point, where local search had found none.
        if decision is None or decision.verdict is Verdict.unseen:
            decision = judge(self.question.problem, self.question.model, selected, self.tol, parameters)
            self.decisions[key] = decision
        self.total[scale] = self.total.get(scale, 0) + 1
        ended = decision.verdict is Verdict.attractor
        self.met.append((selected, ended))
        if ended:
            place = (scale, score_class(self.question.problem, selected))
            self.counts[place] = self.counts.get(place, 0) + 1
        else:
            self.elsewhere = (*self.elsewhere, decision)
        return decision

    def attractors(self, scales: Sequence[float]) -> tuple[Attractor, ...]:
        """The ends, selections that differ only among ties as one, by excess."""
        groups: dict[tuple[float, ...], list[Decision]] = {}
        for decision in self.decisions.values():
            if decision.verdict is Verdict.attractor:
                groups.setdefault(score_class(self.question.problem, decision.selected), []).append(decision)
        best = score_class(self.question.problem, self.question.problem.optimal)
        out = []
        for key, members in groups.items():
            members.sort(key=_value)
            shares = tuple(Share(s, self.counts.get((s, key), 0), self.total[s]) for s in scales if s in self.total)
            loss = excess(self.question.problem, members[0].selected, self.question.loss)
            out.append(Attractor(members[0], key == best, loss, tuple(members[1:]), shares))
        return tuple(sorted(out, key=lambda a: (a.excess, a.value)))


def _value(decision: Decision) -> float:
    if decision.point is not None:
        return decision.point.value
    return np.inf if decision.solution is None else decision.solution.value

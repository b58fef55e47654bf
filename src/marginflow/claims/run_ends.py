"""Do runs end where the rule says they can? The numbers of the claim `ends-are-attractors`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.spectrum import attention
from marginflow.flow.integrate import integrate_many
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.problem import Problem
from marginflow.selection.stability import Verdict, decide
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class RunEnd:
    """Where one run stood when it was stopped, and the rule's word on it.

    Attributes:
        problem, seed, scale: which run.
        selected: (n,) the tokens on top.
        verdict, reason: of the rule.
        impurity: the largest weight of a token that is neither the selected one nor tied with it, over all
            samples: near 1/2 the run has selected nothing, and the rule does not speak of it.
        ratio: norm over least worse margin, relative to the SVM value: 1 at the SVM solution, larger at other
            KKT points and on the way; inf when a worse margin is not positive.
    """

    problem: str
    seed: int
    scale: float
    selected: Ints
    verdict: Verdict
    reason: str
    impurity: float
    ratio: float


@dataclass(frozen=True, eq=False)
class RunEnds:
    """The ends of many runs."""

    ends: tuple[RunEnd, ...]

    @property
    def total(self) -> int:
        """How many runs."""
        return len(self.ends)

    @property
    def listed(self) -> int:
        """Runs whose tokens pass the rule."""
        return sum(e.verdict is Verdict.attractor for e in self.ends)

    @property
    def exceptions(self) -> tuple[RunEnd, ...]:
        """The others: not yet in an attractor, without a selection, or undecided."""
        return tuple(e for e in self.ends if e.verdict is not Verdict.attractor)


def run_ends(
    problems: Sequence[Problem],
    word: str,
    *,
    seeds: Sequence[int],
    scale: float = 0.1,
    until_margin: float = 1e6,
    width: int | None = None,
    loss: str | None = None,
) -> RunEnds:
    """Integrate every problem from every seed and apply the rule to the tokens on top at the end.

    Args:
        problems: problems of any shapes.
        word: kq, w, diag-kq or diag; `width` for kq (full by default).
        seeds, scale, until_margin, loss: of the runs.
    """
    out = []
    for problem in problems:
        model = parse_parameterization(word, width).sized(problem.d, problem.d_z)
        paths = integrate_many(problem, model, seeds=list(seeds), scale=scale, until_margin=until_margin, loss=loss)
        known = {}
        for path, seed in zip(paths, seeds, strict=True):
            selected = path.selected(-1)
            key = tuple(selected.tolist())
            if key not in known:
                known[key] = decide(problem, model.flow_norm, selected)
            decision, W = known[key], path.W(-1)
            out.append(
                RunEnd(
                    problem.name,
                    int(seed),
                    scale,
                    selected,
                    decision.verdict,
                    decision.reason,
                    _impurity(problem, W, selected),
                    _ratio(problem, model, W, selected, decision.solution),
                )
            )
    return RunEnds(tuple(out))


def ends_are_attractors(
    problems: Sequence[Problem],
    word: str,
    *,
    seeds: Sequence[int],
    scale: float = 0.1,
    until_margin: float = 1e6,
) -> tuple[int, int]:
    """(runs that end in a selection that passes the rule, runs); the numbers of the claim of that name."""
    ends = run_ends(problems, word, seeds=seeds, scale=scale, until_margin=until_margin)
    return ends.listed, ends.total


def leave_rejected(problem: Problem, word: str, count: int, until_margin: float = 1e9) -> tuple[int, int]:
    """(runs that leave, runs) from the SVM of the first `count` selections that the rule says will be left.

    Each starts in the direction of that SVM, with its worse tokens `_DEEP` units behind: where a run would be that
    had come there by itself.
    """
    model = parse_parameterization(word, None).sized(problem.d, problem.d_z)
    rejected: list[Ints] = []
    starts: list[Floats] = []
    for tokens in product(*(np.flatnonzero(exists).tolist() for exists in problem.mask)):
        if len(rejected) == count:
            break
        selected = np.array(tokens, dtype=np.intp)
        decision = decide(problem, model.flow_norm, selected)
        if decision.verdict is not Verdict.left or decision.solution is None or decision.turns is None:
            continue
        rejected.append(selected)
        starts.append(_DEEP * (decision.solution.beta if model.diagonal else decision.solution.W))
    if not rejected:
        return 0, 0
    paths = integrate_many(problem, model, inits=starts, until_margin=until_margin)
    left = sum(bool((path.selected(-1) != own).any()) for path, own in zip(paths, rejected, strict=True))
    return left, len(rejected)


def _impurity(problem: Problem, W: Floats, selected: Ints) -> float:
    own = problem.scores[np.arange(problem.n), selected][:, None]
    return float(np.where(problem.scores == own, 0.0, attention(problem, W)).max())


def _ratio(
    problem: Problem,
    model: AbstractParameterization,
    W: Floats,
    selected: Ints,
    solution: Solution | None,
) -> float:
    if solution is None or not solution.value > 0:
        return float("inf")
    least = float(solution.constraints.margins(W).min())
    size = solution.norm.value(W.diagonal() if model.diagonal else W)
    return size / least / solution.value if least > 0 else float("inf")


_DEEP: Final = 50.0
"""Units of margin: other tokens weigh e^-50 of the selected ones at the start."""

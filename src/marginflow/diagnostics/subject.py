"""A problem, the runs on it, and the certified SVMs they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.ratio import FLOW_NORMS, comparison
from marginflow.model.face_limit import FaceLimit
from marginflow.model.goal import AbstractGoal
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.norms import parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.fingerprint import fingerprint
from marginflow.problem.headings import heading
from marginflow.problem.problem import Problem
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import plural


KEPT = 64
"""Samples whose attention and margins are stored; beyond, those of least final margin are the interesting."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One problem with everything that is compared on it.

    Attributes:
        problem: the data.
        paths: the runs on it, in the order given.
        places: the place of each run among all runs of the report.
        goal: where attention is at the least loss of its runs.
        solutions: the SVM of the goal by norm, each certified.
    """

    problem: Problem
    goal: AbstractGoal
    paths: list[Trajectory]
    places: list[int]
    solutions: dict[str, Solution]

    @cached_property
    def constraints(self) -> Constraints:
        """The constraints of the goal."""
        return self.goal.constraints

    @cached_property
    def kept(self) -> Ints:
        """The samples stored in detail, ascending."""
        if self.problem.n <= KEPT:
            return np.arange(self.problem.n)
        margins = np.where(self.constraints.level > 0.0, self.constraints.margins(_matrix(self.paths[0])), np.inf)
        least = np.full(self.problem.n, np.inf)
        np.minimum.at(least, self.constraints.sample, margins)
        return np.sort(np.argsort(least, kind="stable")[:KEPT])

    @property
    def title(self) -> str:
        """The problem's name, or its sizes; with the loss where that decides which faces are kept."""
        return (self.problem.name or f"unnamed problem, n = {self.problem.n}") + self._loss

    @cached_property
    def heading(self) -> str:
        """The problem in words, where it is a named one; else as `title`."""
        return heading(self.problem) + self._loss if self.problem.name else self.title

    @property
    def _loss(self) -> str:
        return f", {self.goal.loss.word} loss" if self.goal.keeps_faces else ""

    @property
    def words(self) -> list[str]:
        """The parameterisations trained here: the library's in its own order, then others as they come."""
        here = list(dict.fromkeys(path.parameterization.word for path in self.paths))
        return [word for word in PARAMETERIZATIONS if word in here] + [w for w in here if w not in PARAMETERIZATIONS]

    def norms_of(self, path: Trajectory) -> list[str]:
        """The norms among `solutions` that can be taken of the run's weights: those of full matrices always."""
        return [name for name in self.solutions if path.parameterization.diagonal or not parse_norm(name).diagonal]

    @cached_property
    def _own(self) -> dict[tuple[str, bytes], Solution]:
        return {}

    def compared(self, path: Trajectory) -> Solution | None:
        """The SVM that the end of `path` is compared with (`Comparison`); None where it has none."""
        norm = path.norm
        seen = comparison(path)
        if not seen.own:
            return self.solutions.get(norm)
        c = seen.constraints
        key = (norm, seen.selection.tobytes() + c.sample.tobytes() + c.token.tobytes() + c.equal.tobytes())
        if key not in self._own:
            if self.goal.keeps_faces:
                self._own[key] = solve(c, norm)
            else:
                self._own[key] = solve(self.problem, norm, selection=seen.selection, against=seen.against)
        return self._own[key]

    def of(self, word: str) -> list[Trajectory]:
        """The runs of one parameterisation."""
        return [path for path in self.paths if path.parameterization.word == word]

    @property
    def groups(self) -> list[list[Trajectory]]:
        """The runs of one parameterisation made in one way, in the order of `words`."""
        out: dict[tuple[str, str], list[Trajectory]] = {}
        for word in self.words:
            for path in self.of(word):
                out.setdefault((word, path.method.label), []).append(path)
        return list(out.values())

    def solution(self, norm: str) -> Solution | None:
        """The SVM of `norm`, where its value is certified to be finite."""
        found = self.solutions.get(norm)
        return found if found is not None and found.status.name == "optimal" else None


def gather(paths: Sequence[Trajectory], progress: Callable[[str], None]) -> list[Subject]:
    """Group `paths` by their data, whatever its name, and by what they go to; solve the SVMs of each group."""
    groups: dict[tuple[str, str], list[int]] = {}
    for k, path in enumerate(paths):
        faces_of = path.loss.word if path.goal.keeps_faces else ""
        groups.setdefault((fingerprint(path.problem), faces_of), []).append(k)
    subjects = []
    for places in groups.values():
        own = [paths[k] for k in places]
        # Names are no part of the data: a run saved without them is on the same problem as one saved with them.
        problem = next((path.problem for path in own if path.problem.token_names is not None), own[0].problem)
        goal = own[0].goal
        solutions = {}
        for norm in _norms(own):
            progress(f"{norm} SVM of {problem.name or plural(problem.n, 'sample')}")
            solutions[norm] = solve(problem, norm, selection=goal.faces if isinstance(goal, FaceLimit) else None)
        subjects.append(Subject(problem, goal, own, places, solutions))
    return subjects


def _norms(paths: list[Trajectory]) -> list[str]:
    """Those that the library's flows on such weights minimise, and any other that is predicted."""
    models = [path.parameterization for path in paths]
    usual = [norm for kind in (False, True) if any(m.diagonal == kind for m in models) for norm in FLOW_NORMS[kind]]
    return list(dict.fromkeys([*usual, *(path.norm for path in paths)]))


def _matrix(path: Trajectory) -> Floats:
    W = path.W(-1)
    return np.diag(W) if W.ndim == 1 else W

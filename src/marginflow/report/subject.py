"""What the page is about: a problem, the runs on it, and the certified SVMs they are compared with."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Ints
from marginflow.diagnostics.ratio import FLOW_NORMS, comparison
from marginflow.errors import InputError
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.norms import parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.report.wording import plural
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory


KEPT = 64
"""Samples whose attention and margins are stored; beyond, those of least final margin are the interesting."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One problem with everything that is compared on it.

    Attributes:
        problem: the data.
        paths: the runs on it, in the order given.
        places: the place of each run among all runs of the report.
        solutions: the SVM of the optimal tokens by norm, each certified.
    """

    problem: Problem
    paths: list[Trajectory]
    places: list[int]
    solutions: dict[str, Solution]

    @cached_property
    def constraints(self) -> Constraints:
        """The constraints of the optimal tokens."""
        return self.problem.constraints()

    @cached_property
    def kept(self) -> Ints:
        """The samples stored in detail, ascending."""
        if self.problem.n <= KEPT:
            return np.arange(self.problem.n)
        margins = self.constraints.margins(_matrix(self.paths[0]))
        least = np.full(self.problem.n, np.inf)
        np.minimum.at(least, self.constraints.sample, margins)
        return np.sort(np.argsort(least, kind="stable")[:KEPT])

    @property
    def title(self) -> str:
        """The problem's name, or its sizes."""
        return self.problem.name or f"unnamed problem, n = {self.problem.n}"

    @property
    def words(self) -> list[str]:
        """The parameterisations trained here: the library's in its own order, then others as they come."""
        here = list(dict.fromkeys(path.parameterization.word for path in self.paths))
        return [word for word in PARAMETERIZATIONS if word in here] + [w for w in here if w not in PARAMETERIZATIONS]

    def norms_of(self, path: Trajectory) -> list[str]:
        """The norms among `solutions` that can be taken of the run's weights: those of full matrices always."""
        return [name for name in self.solutions if path.parameterization.diagonal or not parse_norm(name).diagonal]

    @cached_property
    def _own(self) -> dict[tuple[str, tuple[int, ...]], Solution]:
        return {}

    def compared(self, path: Trajectory) -> Solution | None:
        """The SVM that the end of `path` is compared with (`Comparison`); None where it has none."""
        norm = path.norm
        seen = comparison(path)
        if not seen.own:
            return self.solutions.get(norm)
        key = (norm, tuple(int(token) for token in seen.selection))
        if key not in self._own:
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
    """Group `paths` by their data, whatever its name, and solve the SVMs of each problem."""
    groups: dict[bytes, list[int]] = {}
    for k, path in enumerate(paths):
        groups.setdefault(_fingerprint(path.problem), []).append(k)
    subjects = []
    for places in groups.values():
        own = [paths[k] for k in places]
        if any(path.limit is not None for path in own):
            raise InputError(
                "got a run onto faces of several tokens, which pages and figures do not draw; expected runs that end "
                "on a token a row; marginflow.diagnose has its numbers"
            )
        # Names are no part of the data: a run saved without them is on the same problem as one saved with them.
        problem = next((path.problem for path in own if path.problem.token_names is not None), own[0].problem)
        solutions = {}
        for norm in _norms(own):
            progress(f"{norm} SVM of {problem.name or plural(problem.n, 'sample')}")
            solutions[norm] = solve(problem, norm)
        subjects.append(Subject(problem, own, places, solutions))
    return subjects


def _norms(paths: list[Trajectory]) -> list[str]:
    """Those that the library's flows on such weights minimise, and any other that is predicted."""
    models = [path.parameterization for path in paths]
    usual = [norm for kind in (False, True) if any(m.diagonal == kind for m in models) for norm in FLOW_NORMS[kind]]
    return list(dict.fromkeys([*usual, *(path.norm for path in paths)]))


def _fingerprint(problem: Problem) -> bytes:
    digest = hashlib.sha256()
    for array in (problem.X, problem.z, problem.scores, problem.mask, problem.output, problem.head):
        digest.update(repr(array.shape).encode())
        # Adding 0 makes -0.0 and 0.0, which are the same number, the same bytes.
        digest.update(np.ascontiguousarray(array + 0.0).tobytes())
    return digest.digest()


def _matrix(path: Trajectory) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    W = path.W(-1)
    return np.diag(W) if W.ndim == 1 else W

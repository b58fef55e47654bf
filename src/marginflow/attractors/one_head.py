"""The search of one head: its candidates, what the bounds leave, and the decision on each selection."""

import itertools
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Final

import numpy as np

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.question import Question
from marginflow.attractors.sampled_ends import EndsMet, Starts
from marginflow.attractors.search import Screened, screen
from marginflow.attractors.shares import missing
from marginflow.model.registry import AbstractParameterization, KeyQuery
from marginflow.problem.problem import Problem
from marginflow.selection.rule import capped, judge, largest_rank
from marginflow.selection.stability import Decision, Verdict
from marginflow.svm.proof.separable import separability


EUCLIDEAN: Final = ("frobenius", "l2")
"""Norms whose search has bounds in closed form."""

Progress = Callable[[str], None]
"""Called now and then with a text for people."""


@dataclass(frozen=True)
class Effort:
    """How far a search goes.

    Attributes:
        tol: certified relative gap of each SVM.
        limit: partial selections to look at; None for what the norm can bear.
        processes: to share the search for the Euclidean norms among.
        progress: called with a text.
    """

    tol: float = 1e-9
    limit: int | None = None
    processes: int = 1
    progress: Progress | None = None

    def tell(self, text: str) -> None:
        """Show `text`, if anybody looks."""
        if self.progress is not None:
            self.progress(text)


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search found, before any run was made.

    Attributes:
        ends: the decision on each selection; runs that are made later enter theirs.
        candidates: the tokens a selection may name.
        visited: partial and whole selections looked at.
        unsearched: why the search is not complete; () when it is.
    """

    ends: EndsMet
    candidates: Candidates
    visited: int
    unsearched: tuple[str, ...]

    def listed(self, starts: Starts) -> Attractors:
        """The list, with the shares of the runs from `starts` that have been entered."""
        ends = self.ends
        problem, model = ends.question.problem, ends.question.model
        undecided = tuple(d for d in ends.decisions.values() if d.verdict is Verdict.undecided)
        why = self.unsearched
        if undecided:
            why = (*why, f"{len(undecided)} selection(s) undecided")
        return Attractors(
            problem=problem,
            parameterization=model,
            attractors=ends.attractors(starts.scales),
            undecided=undecided,
            complete=not why,
            incomplete_because=why,
            separable=separability(problem.constraints(), model.diagonal).separable,
            infinite=self.candidates.independent,
            visited=self.visited,
            elsewhere=ends.elsewhere,
            missing=missing(ends.met) if ends.met else None,
            scales=starts.scales if ends.met else (),
            loss=ends.question.loss,
        )


def search(question: Question, effort: Effort) -> Searched:
    """Decide on every selection of a problem of one head that no bound rejects."""
    problem, model = question.problem, question.model
    candidates = Candidates.of(problem, model.diagonal)
    euclidean = model.flow_norm in EUCLIDEAN
    limit = effort.limit
    if limit is None:
        limit = _SPECTRAL if not euclidean else _EUCLIDEAN if candidates.independent else _DEPENDENT
    if capped(model, problem):
        screened = _every(candidates)
    else:
        screened = _screen(candidates, euclidean, limit, effort)
    why = _reasons(problem, model, screened, limit)
    if not screened.complete:
        screened.selections.append(problem.optimal)
    decisions = dict[tuple[int, ...], Decision]()
    for i, selected in enumerate(screened.selections):
        decisions.setdefault(tuple(selected.tolist()), judge(problem, model, selected, effort.tol))
        effort.tell(f"solved {i + 1} of {len(screened.selections)}")
    return Searched(EndsMet(question, effort.tol, decisions), candidates, screened.total, tuple(why))


def _screen(candidates: Candidates, euclidean: bool, limit: int, effort: Effort) -> Screened:
    total = candidates.count
    if candidates.independent and total > _HOPELESS * limit:
        # Every selection is separable, so the bounds act next to the leaves only: do not begin.
        return Screened(complete=False)

    def show(visited: int, passed: int) -> None:
        effort.tell(f"{visited} partial selections of {total:.3g}, {passed} to solve")

    processes = effort.processes
    if processes == 1 or total < _WORTH_SHARING:
        return screen(candidates, euclidean, limit, show)
    parts = [(r, 8 * processes) for r in range(8 * processes)]
    out = Screened()
    with _workers(processes) as pool:
        futures = [pool.submit(screen, candidates, euclidean, limit, None, part) for part in parts]
        for future in futures:
            out.add(future.result())
            show(out.total, len(out.selections))
            if out.total > limit:
                out.complete = False
                break
        for future in futures:
            future.cancel()
    return out


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave Ctrl-C to this one, which ends them by it."""
    before = set(active_children())
    pool = ProcessPoolExecutor(count, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        yield pool
    except BaseException:
        for child in set(active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _every(candidates: Candidates) -> Screened:
    """All selections, for the local searches under a rank cap, for which no bound rejects; none if too many."""
    if candidates.count > _LOCAL:
        return Screened(complete=False)
    tokens = [np.flatnonzero(row) for row in candidates.possible]
    selections = [np.array(chosen) for chosen in itertools.product(*tokens)]
    return Screened(selections, {candidates.problem.n: len(selections)})


def _reasons(problem: Problem, parameterization: AbstractParameterization, screened: Screened, limit: int) -> list[str]:
    why = []
    if not screened.complete:
        why.append(
            f"the search stopped after {limit} partial selections"
            if screened.total
            else f"{Candidates.of(problem, parameterization.diagonal).count:.3g} selections are too many to search"
        )
    if isinstance(parameterization, KeyQuery) and capped(parameterization, problem):
        why.append(
            f"width {parameterization.width} caps the rank below {largest_rank(problem)}: "
            "the ends are KKT points found by local search, of which there may be more"
        )
    return why


_EUCLIDEAN: Final = 30_000_000
_DEPENDENT: Final = 100_000
_SPECTRAL: Final = 500_000
"""Partial selections looked at by default."""

_HOPELESS: Final = 20
"""Times the limit: the bounds have never left fewer than a twentieth of all selections to be looked at."""

_LOCAL: Final = 300
"""Selections that are searched one by one under a rank cap; with more, only those that sampled runs meet."""

_WORTH_SHARING: Final = 200_000
"""Fewer selections than this are searched faster than processes start."""

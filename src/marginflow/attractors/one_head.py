"""The search of one head: its candidates, what the bounds leave, and the decision on each selection."""

import itertools
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from typing import Any, Final

import numpy as np

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.parts import Engine, FinishedPart, Kept, Part, run_part
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
        processes: to share the search among, where no engine is given.
        engine: what runs the parts of the search.
        kept: parts that are finished.
        progress: called with a text.
    """

    tol: float = 1e-9
    limit: int | None = None
    processes: int = 1
    engine: Engine | None = None
    kept: Kept = field(default_factory=lambda: Kept(None))
    progress: Progress | None = None

    @property
    def divided(self) -> bool:
        """Whether the search is cut into parts whatever its size."""
        return self.engine is not None or self.kept.path is not None

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
    """What the bounds leave, under any norm: small searches at once, larger ones in parts.

    The parts are the same whoever runs them, and are joined in their order: list and count depend on neither.
    """
    total = candidates.count
    if candidates.independent and total > _HOPELESS * limit:
        # Every selection is separable, so the bounds act next to the leaves only: do not begin.
        return Screened(complete=False)

    def show(visited: int, passed: int) -> None:
        effort.tell(f"{visited} partial selections of {total:.3g}, {passed} to solve")

    if total < _WORTH_SHARING and not effort.divided:
        return screen(candidates, euclidean, limit, show)
    parts = [Part(candidates.problem, candidates.diagonal, euclidean, limit, place, _PARTS) for place in range(_PARTS)]
    found = {part.place: kept for part in parts if (kept := effort.kept.find(part)) is not None}
    missing = [part for part in parts if part.place not in found]
    engine = effort.engine or _Here(effort.processes)
    visited, passed = _sums(found)
    show(visited, passed)
    # An engine with nothing to do would still start its workers.
    with closing(engine.run(run_part, missing) if missing else _nothing()) as ends:
        for end in ends:
            if isinstance(end, FinishedPart):
                effort.kept.add(end)
                found[end.unit.place] = end.screened
            visited, passed = _sums(found)
            show(visited, passed)
            if visited > limit:
                break
    whole = len(found) == len(parts)
    out = Screened(complete=visited <= limit and whole, lost=visited <= limit and not whole)
    for place in sorted(found):
        out.add(found[place])
    return out


def _nothing() -> Generator[Any, None, None]:
    yield from ()


def _sums(found: dict[int, Screened]) -> tuple[int, int]:
    return sum(s.total for s in found.values()), sum(len(s.selections) for s in found.values())


@dataclass(frozen=True)
class _Here:
    """This process, or a pool of `count` of them."""

    count: int

    def run(self, work: Any, units: Any) -> Generator[Any, None, None]:
        if self.count == 1:
            yield from map(work, units)
            return
        with _workers(self.count) as pool:
            for future in as_completed([pool.submit(work, unit) for unit in units]):
                yield future.result()


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
    if screened.lost:
        why.append("no worker lived through some parts of the search")
    elif not screened.complete:
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

_PARTS: Final = 64
"""Parts of one search, whoever runs them: what is found and what is counted must not depend on that."""

_WORTH_SHARING: Final = 200_000
"""Fewer selections than this are searched at once, faster than processes start, where no engine is given."""

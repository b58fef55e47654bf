"""The door: every place where training can end, before any training."""

import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Final

import numpy as np

from marginflow.attractors.attractors import Attractors
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.sampled_ends import EndsMet
from marginflow.attractors.search import Screened, screen
from marginflow.attractors.shares import missing
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, parse_loss
from marginflow.model.registry import AbstractParameterization, KeyQuery, parse_parameterization
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.selection.rule import capped, judge, largest_rank
from marginflow.selection.stability import Decision, Verdict
from marginflow.svm.proof.separable import separability


EUCLIDEAN: Final = ("frobenius", "l2")
"""Norms whose search has bounds in closed form."""

Progress = Callable[[str], None]
"""Called now and then with a text for people."""


def attractors(
    problem: Problem | str,
    parameterization: AbstractParameterization | str,
    *,
    sample: int | None = None,
    scales: Sequence[float] = (0.1,),
    seed: int = 0,
    tol: float = 1e-9,
    limit: int | None = None,
    until_margin: float = 1e8,
    loss: str | AbstractLoss | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Attractors:
    """List the selections of tokens where the flow can end (rule, proof and gaps: docs/attractors.md).

    Args:
        problem: tokens, queries and scores, or what `load` takes.
        parameterization: `KeyQuery(width)`, `Combined()`, `DiagonalKeyQuery()`, `Diagonal()`, or its word
            kq, w, diag-kq, diag (kq then has full width).
        sample: integrate this many starts at each of `scales` and count where they end; none when None.
        scales, seed: standard deviations and first seed of the sampled starts.
        tol: certified relative gap of each SVM.
        until_margin: where the tokens of a sampled run are read; factored weights leave bad ones slowly.
        loss: of which the ends' excess is told and with which sampled runs are trained.
        limit: partial selections to look at before the search is given up as incomplete; by default 3e7
            for the Euclidean norms and 5e5 for the others, whose steps cost more (1e5 for l2 where constraints
            are dependent: each costs a proof of separability). No search is begun that has no chance.
        processes: share the search for the Euclidean norms among this many processes.
        progress: called with a text.

    Returns:
        The ends, what could not be decided, and why the list may be incomplete.

    Raises:
        InputError: an option that cannot be used.
        UndefinedError: diagonal weights for tokens and queries of different dimensions.
    """
    problem = as_problem(problem)
    if not problem.plain:
        raise InputError(
            f"attractors: got {problem!r}; expected one head, an output a sample, and scores; the ends of "
            "several heads are all combinations of the ends of each: list those of problem.of_head(0), of_head(1), ..."
        )
    parameterization = parse_parameterization(parameterization).sized(problem.d, problem.d_z)
    _check(sample, scales, seed, processes)
    loss = parse_loss(loss)
    candidates = Candidates.of(problem, parameterization.diagonal)
    norm = parameterization.flow_norm
    euclidean = norm in EUCLIDEAN
    if limit is None:
        limit = _SPECTRAL if not euclidean else _EUCLIDEAN if candidates.independent else _DEPENDENT
    if capped(parameterization, problem):
        screened = _every(candidates)
    else:
        screened = _screen(candidates, euclidean, limit, processes, progress)
    why = _reasons(problem, parameterization, screened, limit)
    if not screened.complete:
        screened.selections.append(problem.optimal)
    decisions = dict[tuple[int, ...], Decision]()
    for i, selected in enumerate(screened.selections):
        decisions.setdefault(tuple(selected.tolist()), judge(problem, parameterization, selected, tol))
        if progress is not None:
            progress(f"solved {i + 1} of {len(screened.selections)}")
    ends = EndsMet(problem, parameterization, loss, tol, decisions)
    if sample:
        ends.run(sample, scales, seed, until_margin, progress)
    undecided = tuple(d for d in ends.decisions.values() if d.verdict is Verdict.undecided)
    if undecided:
        why.append(f"{len(undecided)} selection(s) undecided")
    separable = separability(problem.constraints(), parameterization.diagonal).separable
    return Attractors(
        problem=problem,
        parameterization=parameterization,
        attractors=ends.attractors(scales),
        undecided=undecided,
        complete=not why,
        incomplete_because=tuple(why),
        separable=separable,
        infinite=candidates.independent,
        visited=screened.total,
        elsewhere=ends.elsewhere,
        missing=missing(ends.met) if ends.met else None,
        scales=tuple(float(s) for s in scales) if sample else (),
        loss=loss,
    )


def _check(sample: int | None, scales: Sequence[float], seed: int, processes: int) -> None:
    if sample is not None and (isinstance(sample, bool) or sample < 1):
        raise InputError(f"sample: got {sample!r}; expected a whole number of at least 1")
    if sample and not all(0 < s < 1e10 for s in scales):
        raise InputError(f"scales: got {list(scales)}; expected numbers above 0")
    if seed < 0:
        raise InputError(f"seed: got {seed}; expected at least 0")
    if processes < 1:
        raise InputError(f"processes: got {processes}; expected at least 1")


def _screen(candidates: Candidates, euclidean: bool, limit: int, processes: int, progress: Progress | None) -> Screened:
    total = candidates.count
    if candidates.independent and total > _HOPELESS * limit:
        # Every selection is separable, so the bounds act next to the leaves only: do not begin.
        return Screened(complete=False)

    def show(visited: int, passed: int) -> None:
        if progress is not None:
            progress(f"{visited} partial selections of {total:.3g}, {passed} to solve")

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

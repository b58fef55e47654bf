"""The door: every place where training can end, before any training."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Final

import numpy as np

from marginflow.arrays import Ints
from marginflow.attractors.attractors import Attractor, Attractors, excess, score_class
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.search import Screened, screen
from marginflow.attractors.shares import Share, missing
from marginflow.errors import InputError
from marginflow.flow.parameterization import PARAMETERIZATIONS, AbstractParameterization, KeyQuery
from marginflow.problem.problem import Problem
from marginflow.svm.separable import separability
from marginflow.svm.stability import Decision, Verdict, decide


Progress = Callable[[str], None]
"""Called now and then with a text for people."""


def attractors(
    problem: Problem,
    parameterization: AbstractParameterization | str,
    *,
    sample: int | None = None,
    scales: Sequence[float] = (0.1,),
    seed: int = 0,
    tol: float = 1e-9,
    limit: int | None = None,
    until_margin: float = 1e8,
    processes: int = 1,
    progress: Progress | None = None,
) -> Attractors:
    """List the selections of tokens where the flow can end (rule, proof and gaps: docs/attractors.md).

    Args:
        problem: tokens, queries and scores.
        parameterization: `KeyQuery(width)`, `Combined()`, `DiagonalKeyQuery()`, `Diagonal()`, or its word
            kq, w, diag-kq, diag (kq then has full width).
        sample: integrate this many starts at each of `scales` and count where they end; none when None.
        scales, seed: standard deviations and first seed of the sampled starts.
        tol: certified relative gap of each SVM.
        until_margin: where the tokens of a sampled run are read; factored weights leave bad ones slowly.
        limit: partial selections to look at before the search is given up as incomplete; by default 3e7
            for the Euclidean norms and 2e6 for the others, whose steps cost more (1e5 for l2 where constraints
            are dependent: each costs a proof of separability). No search is begun that has no chance.
        processes: share the search for the Euclidean norms among this many processes.
        progress: called with a text. Ctrl-C ends the search with what is known, as incomplete.

    Returns:
        The ends, what could not be decided, and why the list may be incomplete.

    Raises:
        InputError: an option that cannot be used.
        UndefinedError: diagonal weights for tokens and queries of different dimensions.
    """
    if isinstance(parameterization, str):
        if parameterization not in PARAMETERIZATIONS:
            raise InputError(f"parameterization: got {parameterization!r}; expected {', '.join(PARAMETERIZATIONS)}")
        made = PARAMETERIZATIONS[parameterization]
        parameterization = KeyQuery(min(problem.d, problem.d_z)) if made is KeyQuery else made()
    _check(sample, scales, seed, processes)
    candidates = Candidates.of(problem, parameterization.diagonal)
    norm = parameterization.norm
    euclidean = norm in ("frobenius", "l2")
    if limit is None:
        limit = _SPECTRAL if not euclidean else _EUCLIDEAN if candidates.independent else _DEPENDENT
    screened = _screen(candidates, euclidean, limit, processes, progress)
    why = _reasons(problem, parameterization, screened, limit)
    if not screened.complete:
        screened.selections.append(problem.optimal)
    decisions = dict[tuple[int, ...], Decision]()
    try:
        for i, selected in enumerate(screened.selections):
            decisions.setdefault(tuple(selected.tolist()), _decide(problem, parameterization, selected, tol))
            if progress is not None:
                progress(f"solved {i + 1} of {len(screened.selections)}")
    except KeyboardInterrupt:
        screened.interrupted = True
        why.append("interrupted")
    ends = _Ends(problem, parameterization, tol, decisions)
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
        interrupted=screened.interrupted,
        scales=tuple(float(s) for s in scales) if sample else (),
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
    with ProcessPoolExecutor(processes) as pool:
        futures = [pool.submit(screen, candidates, euclidean, limit, None, part) for part in parts]
        try:
            for future in futures:
                out.add(future.result())
                show(out.total, len(out.selections))
                if out.total > limit:
                    out.complete = False
                    break
        except KeyboardInterrupt:
            out.complete, out.interrupted = False, True
        for future in futures:
            future.cancel()
    return out


def _reasons(problem: Problem, parameterization: AbstractParameterization, screened: Screened, limit: int) -> list[str]:
    why = []
    if screened.interrupted:
        why.append("interrupted")
    elif not screened.complete:
        why.append(
            f"the search stopped after {limit} partial selections"
            if screened.total
            else f"{Candidates.of(problem, parameterization.diagonal).count:.3g} selections are too many to search"
        )
    if isinstance(parameterization, KeyQuery) and parameterization.width < min(problem.d, problem.d_z):
        why.append(
            f"width {parameterization.width} caps the rank below {min(problem.d, problem.d_z)}: "
            "other KKT points than the SVM solution can be ends, and an SVM solution of higher rank is none"
        )
    return why


def _decide(problem: Problem, model: AbstractParameterization, selected: Ints, tol: float) -> Decision:
    """The rule; with narrow K and Q it needs an SVM solution of a rank they can reach (docs/attractors.md)."""
    decision = decide(problem, model.norm, selected, tol)
    if decision.verdict is not Verdict.attractor or not isinstance(model, KeyQuery):
        return decision
    if model.width >= min(problem.d, problem.d_z):
        return decision
    rank = None if decision.solution is None else decision.solution.rank
    if rank is not None and rank <= model.width:
        return decision
    known = "of unknown rank" if rank is None else f"of rank {rank}"
    reason = f"its SVM solution, {known}, is out of reach of width {model.width}"
    return replace(decision, verdict=Verdict.undecided, reason=reason)


class _Ends:
    """Decisions on selections, and the runs that met them."""

    def __init__(
        self,
        problem: Problem,
        parameterization: AbstractParameterization,
        tol: float,
        decisions: dict[tuple[int, ...], Decision],
    ) -> None:
        self.problem = problem
        self.parameterization = parameterization
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
        progress: Progress | None,
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
            )
            if progress is not None:
                progress(f"{sample} runs from scale {scale:g} done")
            for path in paths:
                self._meet(path.selected(-1), float(scale))

    def _meet(self, selected: Ints, scale: float) -> None:
        key = tuple(selected.tolist())
        if key not in self.decisions:
            self.decisions[key] = _decide(self.problem, self.parameterization, selected, self.tol)
        decision = self.decisions[key]
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
            loss = excess(self.problem, members[0].selected)
            out.append(Attractor(members[0], key == best, loss, tuple(members[1:]), shares))
        return tuple(sorted(out, key=lambda a: (a.excess, a.value)))


def _value(decision: Decision) -> float:
    return np.inf if decision.solution is None else decision.solution.value


_EUCLIDEAN: Final = 30_000_000
_DEPENDENT: Final = 100_000
_SPECTRAL: Final = 2_000_000
"""Partial selections looked at by default."""

_HOPELESS: Final = 20
"""Times the limit: the bounds have never left fewer than a twentieth of all selections to be looked at."""

_WORTH_SHARING: Final = 200_000
"""Fewer selections than this are searched faster than processes start."""

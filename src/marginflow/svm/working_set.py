"""Constraints larger than memory: solved on some of them, looked at all together, until no other one matters.

Some constraints are held in memory, the working set. Its least-norm W bounds the value from below whatever the others
ask; one pass over all finds those that W breaks, which join. The last pass certifies what is returned over everything
(docs/scale.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints, frozen, places_in_runs
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import Certified, evaluate
from marginflow.svm.proof.status import Answer, answer, read


Search = Callable[[Svm, float, Candidate | None], Candidate]
"""A solver: (svm, tol, start) -> Candidate."""

Steps = dict[str, int]
"""How many steps each stage took, by its name."""

Told = Callable[[int, float], object]
"""Called with (rounds so far, gap so far) after every pass."""


@dataclass(frozen=True, eq=False)
class Look:
    """What one pass over all constraints saw.

    Attributes:
        least: the least margin.
        low: constraints of small margin, in order.
    """

    least: float
    low: Ints


@dataclass(eq=False)
class _Course:
    """The working set `rows` of the constraints of `svm`, its answer, and what was done so far."""

    svm: Svm
    search: Search
    rows: Ints
    near: Candidate | None = None
    warm: bool = True
    steps: dict[str, int] = field(default_factory=lambda: {"rounds": 0})

    def solve(self, tol: float) -> Answer:
        """The answer on the working set, from the one before."""
        part = self.svm.restrict(self.rows)
        candidate = self.search(part, tol, self.near if self.warm else None)
        self.steps["rounds"] += 1
        for stage, steps in candidate.iterations.items():
            self.steps[stage] = self.steps.get(stage, 0) + steps
        found = answer(part, tol, candidate)
        self.near = Candidate(found.certified.W, found.certified.dual)
        return found

    def go_on_with(self, rows: Ints) -> None:
        """Another working set, where the multipliers of those that stay are known."""
        assert self.near is not None
        dual = self.dual()
        self.rows, self.near = rows, Candidate(self.near.W, dual[rows])

    def dual(self) -> Floats:
        """(C,) the multipliers of all constraints."""
        assert self.near is not None
        out = np.zeros(len(self.svm))
        out[self.rows] = self.near.dual
        return out


def solve_stored(svm: Svm, tol: float, start: Candidate | None, search: Search, told: Told) -> tuple[Answer, Steps]:
    """The answer over all constraints of `svm`, and the rounds and passes that it took.

    Args:
        svm: C >= 1 constraints of level 1, whose tokens are not in memory.
        tol: the relative gap asked for.
        start: a solution of similar constraints, whose support is then the first working set.
        search: what solves a working set.
        told: see `Told`.
    """
    assert svm.constraints.stored is not None
    tokens = svm.constraints.stored.tokens
    before = tokens.reads.samples
    if start is None or not start.dual.any():
        course = _Course(svm, search, _look(svm, _first(svm), math.inf, _JOIN).low)
    else:
        support = np.flatnonzero(start.dual)
        course = _Course(svm, search, support, Candidate(start.W, start.dual[support]))
    found = _rounds(course, tol, told)
    passes = math.ceil((tokens.reads.samples - before) / len(tokens.mask))
    return found, {**course.steps, "working_set": len(course.rows), "passes": passes}


def _rounds(course: _Course, tol: float, told: Told) -> Answer:
    """Solve, look, add, until the bounds meet or nothing is left to add."""
    tightest, lower = tol * _SHARE, 0.0
    aim = max(tightest, _LOOSE)
    while True:
        found = course.solve(aim)
        certificate = found.certified.certificate
        if certificate.upper == math.inf:
            return _without_weights(course, found)
        W = found.certified.W / certificate.margin
        bearing = int((found.certified.dual > 0.0).sum())
        seen = _look(course.svm, W, 1.0 + math.sqrt(aim), _JOIN + bearing)
        gap = math.inf
        if seen.least > 0.0 and certificate.lower > 0.0:
            gap = certificate.upper / min(seen.least, 1.0) / certificate.lower - 1.0
        told(course.steps["rounds"], gap)
        course.warm = gap < _NEAR
        fresh = np.setdiff1d(seen.low, course.rows, assume_unique=True)
        if gap <= tol * _ROOM or (not len(fresh) and aim <= tightest):
            return read(course.svm, tol, W / seen.least if seen.least > 0.0 else W, course.dual())
        if gap <= _CLOSE * aim or not len(fresh):
            aim = max(tightest, aim * _TIGHTER)
        rose = certificate.lower > lower * (1.0 + _RISE)
        lower = max(lower, certificate.lower)
        course.go_on_with(np.union1d(_bearing(course, W) if rose else course.rows, fresh))


def _without_weights(course: _Course, found: Answer) -> Answer:
    """What is known where no W separates the working set: a proof for these constraints is one for all."""
    W, dual = np.zeros(course.svm.shape), course.dual()
    certificate = evaluate(course.svm, W, dual)
    return Answer(Certified(certificate, frozen(W), frozen(dual)), found.status, found.reason)


def _first(svm: Svm) -> Floats:
    """Weights along the selected tokens, which need no pass: sum_i x_selected z_i'."""
    stored, z = svm.constraints.stored, svm.constraints.z
    assert stored is not None
    own = stored.tokens.take(np.arange(len(z)), stored.selected)
    W = np.asarray((own * z).sum(axis=0) if svm.diagonal else own.T @ z)
    return W / max(float(np.linalg.norm(W)), 1e-300)


def _look(svm: Svm, W: Floats, below: float, most: int) -> Look:
    """One pass: the least margin of `W`, and about `most` constraints below `below`, the worst few of each sample."""
    sample, least, low = svm.constraints.sample, math.inf, []
    share = most / len(svm.constraints.z)
    for rows, margins in svm.constraints.margins_by_block(W):
        least = min(least, float(margins.min()))
        worst = np.flatnonzero(margins < below)
        worst = worst[np.argsort(margins[worst], kind="stable")]
        own = sample[rows][worst]
        worst = worst[_place(own) < _PER_SAMPLE]
        room = math.ceil(share * (sample[rows.stop - 1] - sample[rows.start] + 1))
        low.append(rows.start + np.sort(worst[:room]))
    return Look(least, np.concatenate(low))


def _place(owner: Ints) -> Ints:
    """(k,) how many entries of the same `owner` come before."""
    order = np.argsort(owner, kind="stable")
    place = np.empty(len(owner), dtype=np.intp)
    place[order] = places_in_runs(owner[order])
    return place


def _bearing(course: _Course, W: Floats) -> Ints:
    """The working set without constraints that bear nothing and are far from binding.

    Only after the lower bound rose: a set that is left can then not come back, so that the rounds end.
    """
    assert course.near is not None
    margins = course.svm.constraints.restrict(course.rows).margins(W)
    return course.rows[(course.near.dual > 0.0) | (margins < _FAR)]


_LOOSE: Final = 1e-2
"""Gap of the first rounds, whose W only says which constraints join."""

_SHARE: Final = 0.25
"""Of the tolerance, what the working set is solved to at last."""

_ROOM: Final = 0.9
"""Of the tolerance, what the bounds may be apart before the rounding of the last pass."""

_CLOSE: Final = 3.0
"""The working set is solved more tightly once the gap over everything is no more than so many times its own."""

_TIGHTER: Final = 1e-3

_RISE: Final = 1e-3
"""What the lower bound must rise by before constraints are dropped."""

_FAR: Final = 2.0
"""Margins beyond which a constraint without a multiplier is dropped."""

_PER_SAMPLE: Final = 2
"""Constraints of one sample that join in one pass."""

_JOIN: Final = 1000
"""Constraints that join in one pass, beside as many as carry multipliers."""

_NEAR: Final = 0.5
"""Gap over everything below which the answer on one working set is a start for the next."""

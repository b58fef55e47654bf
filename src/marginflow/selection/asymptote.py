"""The straight line that a trained W keeps next to for good (docs/attractors.md 2, "Next to a straight line")."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats
from marginflow.model.combined import Identity
from marginflow.model.parameterization import AbstractParameterization
from marginflow.selection.independent_rows import (
    Combination,
    IndependentRows,
    lengths_up,
    margins_up_and_down,
)
from marginflow.selection.stability import tied_constraints
from marginflow.selection.trap import Confinement, Hold, Part, at_least, pulls
from marginflow.svm.program import Svm
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens beside the selected ones, worse or better, as a run of W' = G has them.

    Attributes:
        svm: their C constraints.
        start: W where the run is, in the shape of the weights.
        log_kappa: (C,) log of what they pull with but for e^-margin; a common term does not matter.
    """

    svm: Svm
    start: Floats
    log_kappa: Floats

    @cached_property
    def lengths(self) -> Floats:
        """(C,) the |A_l|, rounded up."""
        return lengths_up(self.svm)

    @cached_property
    def margins(self) -> tuple[Floats, Floats]:
        """(C,) those of W, from below and from above."""
        return margins_up_and_down(self.svm, self.start)

    def least(self, weights: Floats, away: float) -> Floats:
        """(C,) what the margins are not below at any weights no farther than `away` from these."""
        return margins_up_and_down(self.svm, weights, away)[0]

    def log_pushes(self, margins: Floats, pace: Floats, clock: float) -> Floats:
        """(C,) logs of what the tokens move W by in all, at most, if their margins grow from `margins` by `pace` > 1.

        All that per unit of the clock, which begins at `clock`.
        """
        raised = clock - margins + self.log_kappa + np.log(self.lengths) - np.log(pace - 1.0)
        return np.asarray(raised + _LOGS * (1.0 + abs(clock) * 1e-5))


@dataclass(frozen=True, eq=False)
class Asymptote:
    """The line V(s) = V_0 + (s - clock) B next to which a run stays, if `pushed` is at most `ROOM`.

    Attributes:
        radius: what the distance of W from the line never exceeds.
        level: a number that the least margin over a worse token does not exceed at the start.
        better: (B,) numbers that the margins of the better tokens are not below there.
        worse: (C,) the logs of what the worse tokens push while W is on the line, -inf on the support.
        pushed: what all that is not on the line moves W by, for good, at most.
    """

    radius: float
    level: float
    better: Floats
    worse: Floats
    pushed: float


@dataclass(frozen=True, eq=False)
class Course:
    """A run of W' = G off its optimal tokens, and the direction that its support makes.

    Attributes:
        worse, better: the tokens.
        support: (C,) the worse tokens that are to carry B.
        rows: theirs.
        along: B = sum lambda A over the support, with <A_l, B> = 1 there.
    """

    worse: Tokens
    better: Tokens
    support: Bools
    rows: IndependentRows
    along: Combination

    @classmethod
    def of(cls, worse: Tokens, better: Tokens, support: Bools) -> "Course | None":
        """None unless all lambda are positive and every other token has a product above 1 with B."""
        found = _direction(worse.svm, np.flatnonzero(support).tobytes())
        if found is None:
            return None
        course = cls(worse, better, support, *found)
        if not float(course.along.dual.min()) > course.along.off or not (course.paces[0][~support] > 1.0).all():
            return None
        return course if (course.paces[1] > 1.0).all() else None

    @cached_property
    def paces(self) -> tuple[Floats, Floats]:
        """What <A_l, B> is not below, of the worse and of the better tokens; 1 on the support."""
        along = self.along
        worse = self.worse.least(along.weights, along.away)
        return np.where(self.support, 1.0, worse), self.better.least(along.weights, along.away)

    @cached_property
    def levels(self) -> tuple[Floats, Floats]:
        """Of the support, log(kappa / lambda): its margins on the line less the clock, from below and above."""
        low, high = self.along.dual - self.along.off, self.along.dual + self.along.off
        log_kappa = self.worse.log_kappa[self.support]
        return log_kappa - np.log(high) - _LOGS, log_kappa - np.log(low) + _LOGS

    @cached_property
    def clock(self) -> float:
        """Any number would do: this one makes the line's first point the nearest to W."""
        dual = self.along.dual
        return float(dual @ (self.worse.margins[0][self.support] - self.levels[0]) / dual.sum())

    def asymptote(self) -> Asymptote | None:
        """The line, first through the point next to W, then through one where other worse tokens have been left."""
        held, wanted = np.zeros_like(self.support), np.zeros(len(self.support))
        log_lengths = np.log(self.worse.lengths)
        for _ in range(_ROUNDS):
            line = self._through(held, wanted)
            if line is None or line.pushed <= ROOM:
                return line
            near = ~self.support & ~held & (line.worse > -_BEHIND)
            held = held | near
            if not near.any() or np.count_nonzero(self.support | held) > _LARGEST:
                return None
            pace = np.where(held, self.paces[0], 2.0)
            wanted = self.clock + self.worse.log_kappa + log_lengths - np.log(pace - 1.0) + 2.0 * _BEHIND
        return None

    def _through(self, held: Bools, wanted: Floats) -> Asymptote | None:
        """The line whose first point has the levels of the support, and of the tokens `held` those `wanted` (C,)."""
        chosen, (low, high), start = self.support | held, self.worse.margins, self.worse.start
        rows = IndependentRows.of(self.worse.svm.restrict(chosen)) if held.any() else self.rows
        if rows is None:
            return None
        levels = np.array([wanted, wanted])
        levels[:, self.support] = self.clock + np.array(self.levels)
        levels += np.array([[-1.0], [1.0]]) * (4 * rounding.U) * (np.abs(levels) + abs(self.clock))
        moved = rows.solve(levels[0, chosen] - high[chosen], levels[1, chosen] - low[chosen])
        first, radius = start + moved.weights, rounding.up(moved.size + ROOM, 2)
        off = rounding.up(moved.away + 2 * rounding.U * rounding.frobenius_up(first), 4)
        level = float((levels[1] + self.worse.lengths * radius)[self.support].min()) * (1.0 + 4 * rounding.U)
        better = self.better.least(first, off + radius)
        worse = self.worse.log_pushes(
            self.worse.least(first, off), np.where(self.support, 2.0, self.paces[0]), self.clock
        )
        worse[self.support] = -math.inf
        least = min(float(self.worse.least(first, off + radius).min()), float(better.min()))
        pushed = _total(worse) + _total(self.better.log_pushes(better, self.paces[1], self.clock))
        # Twice, for what e^-margin is short of a force by.
        pushed = 2.0 * pushed + self._second_order(worse, least, radius)
        return Asymptote(radius, level, better, worse, pushed)

    def _second_order(self, worse: Floats, least: float, radius: float) -> float:
        """What terms of second order in e^-margin push: of the forces of all worse tokens a share e^-`least`."""
        kappa = np.concatenate([self.worse.log_kappa, self.better.log_kappa])
        share = _CURVED - least + float(np.logaddexp.reduce(kappa)) - float(self.worse.log_kappa.min())
        carried = np.log(self.worse.lengths[self.support]) + np.log(self.along.dual + self.along.off)
        others = (worse + np.log(self.paces[0]))[~self.support]
        forces = float(np.logaddexp.reduce(np.concatenate([carried, others])))
        return _total(np.array([share + forces + float(self.worse.lengths.max()) * radius]))

    def least_better(self, line: Asymptote) -> float:
        """A number that no better margin is ever below, in units of the least one over worse tokens."""
        return float(np.minimum(line.better / line.level, self.paces[1]).min()) * (1.0 - 8 * rounding.U)


@lru_cache(maxsize=1)
def _svm_of(solution: Solution) -> Svm:
    """One object for all snapshots on the same tokens, by which `_direction` knows them."""
    return solution.svm


@lru_cache(maxsize=1)
def _direction(svm: Svm, support: bytes) -> tuple[IndependentRows, Combination] | None:
    """Rows and B of a support, which later snapshots on the same tokens share."""
    rows = IndependentRows.of(svm.restrict(np.frombuffer(support, dtype=np.intp)))
    return None if rows is None else (rows, rows.solve(np.ones(len(rows.svm)), np.ones(len(rows.svm))))


def keeps_to_line(parameterization: AbstractParameterization, part: Part, within: Confinement) -> Hold | None:
    """Whether the tokens of a run with one head are kept because W stays next to a straight line.

    None where that is not shown, where W is not what is trained, or where tokens tie.
    """
    solution, problem = part.solution, part.problem
    phi = parameterization.map(problem.d, problem.d_z)
    better = problem.constraints(part.selected, against="better")
    if not isinstance(phi, Identity) or not solution.norm.euclidean or not solution.svm.plain or not len(better):
        return None
    support = solution.dual > 0.0
    if not problem.mask.shape[1] * max(1.0, float(np.ptp(problem.scores[problem.mask]))) < _SPREAD:
        return None
    if len(tied_constraints(problem, part.selected)) or not 0 < np.count_nonzero(support) <= _LARGEST:
        return None
    pull = pulls(problem, part.selected, part.log_slope - float(part.log_slope.max()))
    svm, start = _svm_of(solution), phi.pack(part.arrays)
    start = start.reshape(svm.shape)
    with np.errstate(all="ignore"):
        worse = Tokens(svm, start, np.log(pull.of(svm.constraints)))
        ahead = Tokens(Svm(better, svm.norm), start, np.log(np.abs(pull.of(better))))
        if not (np.isfinite(worse.log_kappa).all() and np.isfinite(ahead.log_kappa).all()):
            return None
        course = Course.of(worse, ahead, support)
        line = None if course is None else course.asymptote()
    if course is None or line is None:
        return None
    least = course.least_better(line)
    if not least > within.needed:
        return None
    sentence = f"as W stays within {rounding.text_up(line.radius, 3)} of a straight line, {at_least(least)}"
    return Hold(True, least, f"{sentence}, in units of the least acting margin (certified)")


def _total(logs: Floats) -> float:
    """The sum of their exponentials; inf where it is too large or not known."""
    largest = float(logs.max(initial=-math.inf))
    return float(np.exp(logs).sum()) if largest < _TOO_LARGE else math.inf


ROOM: Final = 1.0
"""How far from its distance at the start W may be pushed, in units of logits over |A_l|."""

_LOGS: Final = 1e-9
"""What logs of kappa and of multipliers, and sums of them at clocks up to 1e5, may be off by."""

_CURVED: Final = 100.0
"""The log of what the curvature of the loss, over the range of scores, is allowed to weigh."""

_SPREAD: Final = 1e30
"""The range of scores times the number of tokens up to which that is certainly enough: e^69 of e^100."""

_BEHIND: Final = 6.0
"""Worse tokens that push more than e^-6 are set back on the line to where they push e^-12."""

_ROUNDS: Final = 4

_LARGEST: Final = 4096
"""Most rows that the line is made with: their Gram matrix is 134 MB."""
_TOO_LARGE: Final = 700.0

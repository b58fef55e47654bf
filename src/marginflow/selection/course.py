"""Where a trained W can go, which moves only by multiples of the constraints that act (docs/attractors.md 2)."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats
from marginflow.model.combined import Identity
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.constraints import Constraints
from marginflow.selection.optimal_margins import OptimalMargins, Pull
from marginflow.selection.stability import tied_constraints
from marginflow.selection.trap import BEHIND, SPARE, Confinement, Hold, Part, at_least, pulls
from marginflow.svm.proof.certificate import margins_down
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class Run:
    """A run of W' = G off its optimal tokens: what all its courses share. D is the number of entries of W.

    Attributes:
        solution: the SVM of the tokens selected against the C worse ones; its norm is Euclidean.
        better: the B constraints of the better tokens.
        start: (D,) W where the run is.
        weights: (C + B,) what every token, the worse ones first, pulls with but for e^-margin, over the least of the
            worse ones.
        held: a number that the least margin over a worse token is not below, now and later.
    """

    solution: Solution
    better: Constraints
    start: Floats
    weights: Floats
    held: float

    @cached_property
    def rows(self) -> Floats:
        """(C + B, D) the A_l of all these tokens, written out."""
        diagonal = self.solution.norm.diagonal
        return np.concatenate([self.solution.constraints.vectors(diagonal), self.better.vectors(diagonal)])

    @cached_property
    def lengths(self) -> Floats:
        """(C + B,) theirs, rounded up."""
        squares = (self.rows * self.rows).sum(axis=1)
        return np.asarray(np.sqrt(squares) * (1.0 + rounding.gamma(self.rows.shape[1] + 16)) + rounding.TINY)

    @cached_property
    def separating(self) -> Floats:
        """(D,) weights whose margins over the worse tokens are at least 1, up to rounding."""
        return np.asarray(self.solution.svm.weights(self.solution.W).ravel())

    @property
    def worse(self) -> int:
        """C."""
        return len(self.solution.constraints)

    def lifted(self, weights: Floats, acting: Bools) -> Floats:
        """(D,) weights next to these whose margins over the `acting` (C,) constraints are at least 0, certified."""
        svm, size = self.solution.svm, 0.0
        while (lowest := float(margins_down(svm, weights.reshape(svm.shape))[acting].min())) < 0.0:
            size = max(2.0 * size, -2.0 * lowest)
            weights = weights + size * self.separating
        return weights


@dataclass(frozen=True, eq=False)
class Course:
    """Bounds of a run for all later times, given which constraints act: all other tokens stay behind by `needed`.

    W - off moves by multiples of the acting A_l, but for an impulse, and its margins over them are those of W or more.

    Attributes:
        run: whose.
        acting: (C,) the constraints that may act.
        off: (D,) weights with <A_l, off> <= 0 for every acting l.
    """

    run: Run
    acting: Bools
    off: Floats

    @classmethod
    def of(cls, run: Run, acting: Bools) -> "Course":
        """With what W has outside the span of the acting A_l as `off`."""
        span = run.rows[: run.worse][acting].T
        inside = span @ np.linalg.lstsq(span, run.start, rcond=None)[0]
        return cls(run, acting, -run.lifted(inside - run.start, acting))

    @cached_property
    def reach(self) -> float:
        """What |W - off| over the least acting margin never exceeds again."""
        start, off = self.run.start, self.off
        return rounding.up(rounding.frobenius_up(start - off) / self.run.held, 8) * (1.0 + SPARE)

    @cached_property
    def needed(self) -> float:
        """The margin, in units of the least one, beyond which a token weighs next to nothing in all that follows."""
        run = self.run
        also = rounding.frobenius_up(self.off) / run.held + rounding.frobenius_up(run.separating)
        return 1.0 + (BEHIND + math.log(float((run.weights * (1.0 + run.lengths * also)).sum()))) / run.held

    @cached_property
    def impulse(self) -> float:
        """What the multiples of all other A_l add up to for good, over `held`, at most."""
        run = self.run
        spread = math.log(float(run.weights[: run.worse].sum())) / run.held
        return _IMPULSE * rounding.frobenius_up(run.separating) * self.reach * (4.1 + 2.0 * spread)

    def least_above(self, row: int, needed: float) -> float:
        """A number that no later margin over token `row` is below, in units of the least acting one.

        Multipliers are sought until it exceeds `needed`, or weights that the bound allows show that it cannot.
        """
        run, pull, shares = self.run, self.run.rows[row], self._shares[:, row]
        across = run.lifted(pull - shares @ run.rows[: run.worse][self.acting], self.acting)
        kept = min(0.0, self._constant(pull, across)) / run.held * (1.0 + SPARE)
        pushed = self.impulse * float(run.lengths.max()) * rounding.frobenius_up(across)
        rounded = 8.0 * rounding.U * (np.abs(pull) + np.abs(across)) + rounding.TINY
        shape = run.solution.svm.shape
        inside = self._margins.least_of(
            Pull((pull - across).reshape(shape), rounded.reshape(shape)), shares, needed + pushed - kept
        )
        return inside + kept - pushed - 8.0 * rounding.U * (abs(inside) - kept + pushed)

    @cached_property
    def _shares(self) -> Floats:
        """(A, C + B) the multiples of the A acting rows that come next to each row."""
        rows = self.run.rows
        return np.asarray(np.linalg.lstsq(rows[: self.run.worse][self.acting].T, rows.T, rcond=None)[0])

    @cached_property
    def _margins(self) -> OptimalMargins:
        """Bounds over {acting margins >= 1, norm <= reach}."""
        own = self.run.solution
        acting = own.constraints.restrict(self.acting)
        solution = replace(own, constraints=acting, dual=own.dual[self.acting], problem=None)
        return OptimalMargins(solution, self.run.better, self.reach)

    def _constant(self, pull: Floats, across: Floats) -> float:
        """<A_l, off> + <across, W - off>, rounded down: what a margin has that does not grow."""
        terms = np.concatenate([pull * self.off, across * self.run.start, -across * self.off])
        return float(terms.sum()) - rounding.gamma(terms.size + 8) * float(np.abs(terms).sum()) - rounding.TINY


def stay(parameterization: AbstractParameterization, part: Part, within: Confinement) -> Hold | None:
    """Whether the tokens of a run with one head are kept because W moves only by multiples of what acts.

    A worse token counts as acting until its margin is seen to be large enough. None where some better token is not seen
    to stay behind, where W is not what is trained, where tokens tie, or where too many of them are large.
    """
    solution, problem = part.solution, part.problem
    phi = parameterization.map(problem.d, problem.d_z)
    better = problem.constraints(part.selected, against="better")
    tokens = len(solution.constraints) + len(better)
    if not isinstance(phi, Identity) or not solution.norm.euclidean or not solution.svm.constraints.plain:
        return None
    if len(better) == 0 or tokens > _TOKENS or tokens * solution.W.size > _NUMBERS:
        return None
    if len(tied_constraints(problem, part.selected)):
        return None
    pull = pulls(problem, part.selected, part.log_slope - float(part.log_slope.max()))
    kappa = np.abs(np.concatenate([pull.of(solution.constraints), pull.of(better)]))
    weights = kappa / kappa[: len(solution.constraints)].min()
    return _follow(Run(solution, better, phi.pack(part.arrays).ravel(), weights, within.held))


def _follow(run: Run) -> Hold | None:
    """Take tokens from those that act until every better one is seen to stay behind."""
    known = np.full(len(run.rows), -math.inf)
    needed, acting = 1.0, np.ones(run.worse, dtype=bool)
    for _ in range(_ROUNDS):
        course = Course.of(run, acting)
        # What earlier rounds took from those that act they took by their own `needed`: the largest is asked of all.
        needed = max(needed, course.needed)
        for row in np.flatnonzero((known <= needed) & (run.rows @ run.separating > needed)):
            sought = needed if row >= run.worse else -math.inf
            known[row] = max(known[row], course.least_above(int(row), sought))
        if (known[run.worse :] > needed).all():
            least = float(known[run.worse :].min())
            sentence = f"as W moves only along {acting.sum()} constraints, {at_least(least)}"
            return Hold(True, least, f"{sentence}, in units of the least acting margin (certified)")
        left = known[: run.worse] <= needed
        if (left == acting).all() or not left.any():
            return None
        acting = left
    return None


_IMPULSE: Final = 5.0 * math.exp(-BEHIND)
"""Of the multiples of what acts, the share by which others pull, with room for terms of second order."""

_ROUNDS: Final = 6

_TOKENS: Final = 200
_NUMBERS: Final = 2_000_000
"""Tokens, and numbers in all their A_l, beyond which the question costs more than it is worth."""

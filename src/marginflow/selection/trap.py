"""Where a run off its optimal tokens can still go, and whether that keeps its tokens (docs/attractors.md 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.model.energy import squares
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.selection.optimal_margins import OptimalMargins
from marginflow.selection.stability import tied_constraints
from marginflow.svm.proof.certificate import margins_down
from marginflow.svm.solution import Solution


@dataclass(frozen=True)
class Confinement:
    """The bounds that hold a run's W over its least acting margin, now and later, while better tokens stay behind.

    Attributes:
        acting: a number that the least margin over a worse token is not below.
        reach: what N(W) over that margin never exceeds again, if `needed` is met all over the set.
        needed: the margin, in units of the least acting one, beyond which better tokens weigh next to nothing.
        tied: the same for tokens of equal score: beyond it the selected token keeps half of the attention.
        held: a number that the least margin is not below, now and later, if `needed` is met all over the set.
    """

    acting: float
    reach: float
    needed: float
    tied: float
    held: float


@dataclass(frozen=True)
class Hold:
    """Whether the tokens selected are kept for good.

    Attributes:
        holds: every better and every tied token stays behind on all W that the run can still have.
        better: a number that no better token's margin is below there, in units of the least acting one; inf for none.
        sentence: the bound that shows it, or the one that does not.
    """

    holds: bool
    better: float
    sentence: str


@dataclass(frozen=True, eq=False)
class Part:
    """What one head of a run is trained on, and where it is; a run of one head has one part.

    Attributes:
        problem: the head's samples.
        arrays: its parameters by name.
        solution: the SVM of the tokens `selected` (n,) against the worse ones, in the parameterisation's norm.
        log_slope: (n,) log(-l') of each sample's output, at the scores of the selected tokens.
        margins: (C,) those over the worse tokens as the run carries them.
    """

    problem: Problem
    arrays: dict[str, Floats]
    solution: Solution
    selected: Ints
    log_slope: Floats
    margins: Floats


def confine(parameterization: AbstractParameterization, heads: Sequence[Part]) -> list[Confinement] | None:
    """The bounds for each head of a run; None where its margins are too small for any, or where the parameterisation
    has no `norm_bound` (several heads: no `least_energy`), or one that its own weights contradict.

    Heads are one W with blocks, and the theorem is about that one: the least margin, the excess and the energy are
    those of all heads. Of the joint norm a head can have what the least norms of the others leave it.
    """
    shift = max(float(head.log_slope.max()) for head in heads)
    each = [pulls(head.problem, head.selected, head.log_slope - shift) for head in heads]
    weights = [_weights(parameterization, head) for head in heads]
    r, bound = parameterization.degree, _bound(parameterization, heads)
    norm = _joint([head.solution.norm.value_upper(W) for head, W in zip(heads, weights, strict=True)], r)
    if bound is None or not norm <= bound * (1.0 + SPARE):
        return None
    acting = carried = math.inf
    for head, W in zip(heads, weights, strict=True):
        worse = head.solution.constraints
        # W is a product of the parameters, rounded: at most |theta|^degree times this in every margin.
        terms = rounding.gamma(sum(array.size for array in head.arrays.values()) + 8)
        size = squares(head.arrays) ** (r / 2.0)
        longest = float((np.linalg.norm(worse.a, axis=1) * np.linalg.norm(worse.queries, axis=1)).max())
        own = float(margins_down(head.solution.svm, W).min()) - terms * size * longest
        carried = min(carried, float(head.margins.min()))
        acting = min(acting, own)
    acting = min(acting, carried)
    kappa = np.concatenate([pull.of(head.solution.constraints) for pull, head in zip(each, heads, strict=True)])
    margins = np.concatenate([head.margins for head in heads])
    least = float(kappa.min())
    ties = max(int(pull.ties.max(initial=0)) for pull in each)
    # E / (p_selected kappa_min), E the loss above its limit: what every later margin exceeds the log of.
    excess = float(np.logaddexp.reduce(np.log(kappa / least) - margins)) + (carried - acting)
    held = -excess - (math.log(2.0) if ties else 0.0)
    if not held > 0.0:
        return None
    joint = rounding.up(max(bound, norm) / min(held, acting), 8) * (1.0 + SPARE)
    better = sum(float(pull.better.sum()) for pull in each) / least
    needed = 1.0 + (BEHIND + max(0.0, math.log(better) if better > 0.0 else 0.0)) / acting
    tied = math.log(2.0 * ties) / acting if ties else 0.0
    lower = [head.solution.certificate.lower for head in heads]
    return [
        Confinement(acting, _left(joint, lower[:h] + lower[h + 1 :], r), needed, tied, min(held, acting))
        for h in range(len(heads))
    ]


def _bound(parameterization: AbstractParameterization, heads: Sequence[Part]) -> float | None:
    """What the joint norm does not exceed: `norm_bound` of one head, of several what |theta|^2 says, which adds up."""
    if len(heads) == 1:
        return parameterization.norm_bound(heads[0].arrays)
    energy = parameterization.least_energy
    if energy is None:
        return None
    whole = rounding.up(sum(squares(head.arrays) for head in heads), len(heads))
    return rounding.up(float((whole / energy) ** (parameterization.degree / 2.0)), 32)


def _joint(norms: Sequence[float], r: int) -> float:
    """The joint norm of blocks with these norms: N^(2/r) adds up, as |theta|^2 does; rounded up."""
    if len(norms) == 1:
        return norms[0]
    return rounding.up(float(sum(value ** (2.0 / r) for value in norms) ** (r / 2.0)), 64)


def _left(joint: float, others: Sequence[float], r: int) -> float:
    """What a joint norm of at most `joint` leaves to one block where the others are at least these; rounded up."""
    if not others:
        return joint
    whole = joint ** (2.0 / r)
    rest = whole - sum(value ** (2.0 / r) for value in others) * (1.0 - 1e-14)
    return rounding.up(float(max(rest * (1.0 + 1e-14) + 1e-14 * whole, 0.0) ** (r / 2.0)), 64)


def hold(problem: Problem, solution: Solution, selected: Ints, within: Confinement) -> Hold:
    """Bound every better and every tied margin from below over the weights that the run can still have."""
    least = math.inf
    asked = (
        ("better", problem.constraints(selected, against="better"), within.needed),
        ("tied", tied_constraints(problem, selected), within.tied),
    )
    for kind, rows, needed in asked:
        if len(rows) == 0:
            continue
        margins = OptimalMargins(solution, rows, within.reach)
        for c in np.argsort(margins.values):
            bound = margins.least_above(int(c), needed)
            if kind == "better":
                least = min(least, bound)
            if not bound > needed:
                name = f"{kind} token {rows.token[c]} of sample {rows.sample[c]}"
                return Hold(
                    False, least, f"the margin of {name} is bounded below there only by {rounding.text_down(bound, 6)}"
                )
    shown = "no token is better" if least == math.inf else at_least(least)
    return Hold(True, least, f"{shown} there, in units of the least acting margin (certified)")


def at_least(least: float) -> str:
    """What no better margin is below, in words, rounded down."""
    return f"every better token's margin is at least {rounding.text_down(least, 6)}"


@dataclass(frozen=True, eq=False)
class Pulls:
    """kappa (n, T), score gaps times the slope of the loss, > 0 for worse tokens; ties (n,) per sample."""

    kappa: Floats
    ties: Ints

    @property
    def better(self) -> Floats:
        """Those of the better tokens, as positive numbers."""
        return -self.kappa[self.kappa < 0.0]

    def of(self, tokens: Constraints) -> Floats:
        """(C,) kappa of the tokens of these constraints."""
        return np.asarray(self.kappa[tokens.sample, tokens.token])


def pulls(problem: Problem, selected: Ints, log_slope: Floats) -> Pulls:
    """Those of every token beside the `selected` ones (n,), with losses of slope exp(`log_slope`) (n,)."""
    rows = np.arange(problem.n)
    gap = np.where(problem.mask, problem.scores[rows, selected][:, None] - problem.scores, 0.0)
    same = problem.mask & (gap == 0.0) & ~(problem.X - problem.X[rows, selected][:, None, :]).any(axis=2)
    # Copies of the selected token share its attention.
    weight = np.exp(log_slope) / same.sum(axis=1)
    ties = (problem.mask & (gap == 0.0) & ~same).sum(axis=1)
    return Pulls(gap * weight[:, None], ties)


def _weights(parameterization: AbstractParameterization, head: Part) -> Floats:
    lift = parameterization.map(head.problem.d, head.problem.d_z)
    return lift.weights(lift.pack(head.arrays)[None])[0]


BEHIND: Final = 20.0
"""Better tokens weigh e^-20 of what acts, or less: then the bounds of `Confinement` grow by less than `SPARE`."""

SPARE: Final = 1e-6
"""Room for what better tokens and terms of second order in e^-margin add to the norm over the margin, for good."""

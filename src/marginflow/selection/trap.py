"""Where a run off its optimal tokens can still go, and whether that keeps its tokens (docs/attractors.md 2)."""

import math
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
    """

    acting: float
    reach: float
    needed: float
    tied: float


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


def confine(
    problem: Problem,
    parameterization: AbstractParameterization,
    arrays: dict[str, Floats],
    solution: Solution,
    selected: Ints,
    log_slope: Floats,
    margins: Floats,
) -> Confinement | None:
    """The bounds for a run with the parameters `arrays`; None where its margins are too small for any, or where the
    parameterisation has no `norm_bound`, or one that its own weights contradict.

    Args:
        problem, parameterization: what is trained.
        arrays: by name, where the run is.
        solution: the SVM of the tokens `selected` (n,) against the worse ones, in the parameterisation's norm.
        log_slope: (n,) log(-l') at the scores of the selected tokens.
        margins: (C,) those over the worse tokens as the run carries them.
    """
    lift = parameterization.map(problem.d, problem.d_z)
    W = lift.weights(lift.pack(arrays)[None])[0]
    bound, norm = parameterization.norm_bound(arrays), solution.norm.value_upper(W)
    if bound is None or not norm <= bound * (1.0 + _SPARE):
        return None
    worse = solution.constraints
    # W is a product of the parameters, rounded: at most |theta|^degree times this in every margin.
    terms = rounding.gamma(sum(array.size for array in arrays.values()) + 8)
    size = squares(arrays) ** (parameterization.degree / 2.0)
    longest = float((np.linalg.norm(worse.a, axis=1) * np.linalg.norm(worse.queries, axis=1)).max())
    own = float(margins_down(solution.svm, W).min()) - terms * size * longest
    carried = float(margins.min())
    acting = min(carried, own)
    pull = _pulls(problem, selected, log_slope)
    kappa = pull.of(worse)
    least = float(kappa.min())
    ties = int(pull.ties.max(initial=0))
    # E / (p_selected kappa_min), E the loss above its limit: what every later margin exceeds the log of.
    excess = float(np.logaddexp.reduce(np.log(kappa / least) - margins)) + (carried - acting)
    held = -excess - (math.log(2.0) if ties else 0.0)
    if not held > 0.0:
        return None
    reach = rounding.up(max(bound, norm) / min(held, acting), 8) * (1.0 + _SPARE)
    better = float(pull.better.sum()) / least
    return Confinement(
        acting=acting,
        reach=reach,
        needed=1.0 + (BEHIND + max(0.0, math.log(better) if better > 0.0 else 0.0)) / acting,
        tied=math.log(2.0 * ties) / acting if ties else 0.0,
    )


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
                return Hold(False, least, f"the margin of {name} is bounded below there only by {bound:.6g}")
    shown = "no token is better" if least == math.inf else f"every better token's margin is at least {least:.6g}"
    return Hold(True, least, f"{shown} there, in units of the least acting margin (certified)")


@dataclass(frozen=True, eq=False)
class _Pulls:
    """kappa (n, T), score gaps times the slope of the loss, > 0 for worse tokens; ties (n,) per sample."""

    kappa: Floats
    ties: Ints

    @property
    def better(self) -> Floats:
        return -self.kappa[self.kappa < 0.0]

    def of(self, worse: Constraints) -> Floats:
        return np.asarray(self.kappa[worse.sample, worse.token])


def _pulls(problem: Problem, selected: Ints, log_slope: Floats) -> _Pulls:
    rows = np.arange(problem.n)
    gap = np.where(problem.mask, problem.scores[rows, selected][:, None] - problem.scores, 0.0)
    same = problem.mask & (gap == 0.0) & ~(problem.X - problem.X[rows, selected][:, None, :]).any(axis=2)
    # Copies of the selected token share its attention.
    weight = np.exp(log_slope - log_slope.max()) / same.sum(axis=1)
    ties = (problem.mask & (gap == 0.0) & ~same).sum(axis=1)
    return _Pulls(gap * weight[:, None], ties)


BEHIND: Final = 20.0
"""Better tokens weigh e^-20 of what acts, or less: then the bounds of `Confinement` grow by less than `_SPARE`."""

_SPARE: Final = 1e-6
"""Room for what better tokens and terms of second order in e^-margin add to the norm over the margin, for good."""

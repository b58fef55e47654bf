"""How far a run is from the SVM of each norm, and how fast its margin grows: what optimisers are compared by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import least_margin, over_margin
from marginflow.errors import InputError, UndefinedError
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem
from marginflow.svm.solve import solve
from marginflow.trajectory.snapshot import Snapshot
from marginflow.trajectory.trajectory import Trajectory


FULL: Final = ("nuclear", "frobenius", "operator", "entry-linf", "entry-l1")
DIAGONAL: Final = ("l1", "l2", "linf")


@dataclass(frozen=True)
class Gap:
    """N(W) / (least margin x certified least norm of margin 1) - 1.

    Attributes:
        values: (S,) per snapshot asked for; nan where the margin is not positive, or there is no certified least.
        least: the certified lower bound of the least norm; nan for none.
        reason: why there is none, or "".
    """

    values: Floats
    least: float
    reason: str = ""


def gaps(
    path: Trajectory, *, snapshots: list[int] | None = None, norms: tuple[str, ...] | None = None
) -> dict[str, Gap]:
    """The gap of a run in each norm; optimisers are compared at equal margin, not at equal iterations.

    Args:
        path: any run.
        snapshots: which; the last one when None.
        norms: by name; by default those of full matrices, or of diagonals for diagonal weights.
    """
    chosen = norms or (DIAGONAL if path.parameterization.diagonal else FULL)
    at = [-1] if snapshots is None else snapshots
    data = path.goal.constraints if path.goal.keeps_faces else path.problem

    def values(norm: AbstractNorm) -> Floats:
        return np.array([_over_margin(path.at(i), norm) for i in at])

    return {name: _beside(name, data, values, len(at)) for name in chosen}


def gaps_by_head(path: Trajectory, *, norms: tuple[str, ...] | None = None) -> tuple[dict[str, Gap], ...]:
    """The gap of each head at the last snapshot: its N(W) over its own least margin, beside its own SVM.

    () for a run of one head, or onto faces of several tokens.
    """
    if path.problem.counts[1] == 1 or path.goal.keeps_faces:
        return ()
    names = norms or (DIAGONAL if path.parameterization.diagonal else FULL)
    out = []
    for (_, constraints), W in zip(path.problem.constraints().per_head, path.W(-1), strict=True):
        seen = partial(_of_head, W=W, constraints=constraints)
        out.append({name: _beside(name, constraints, seen, 1) for name in names})
    return tuple(out)


def margin_speed(path: Trajectory) -> float:
    """Growth of the least margin per iteration over the last half of the iterations; nan for a single snapshot."""
    steps, margin = path.iteration, path.margin
    first = int(np.searchsorted(steps, steps[-1] / 2.0))
    first = min(first, len(steps) - 2)
    if len(steps) < 2 or steps[-1] == steps[first]:
        return math.nan
    return float((margin[-1] - margin[first]) / (steps[-1] - steps[first]))


def _beside(name: str, data: Problem | Constraints, values: Callable[[AbstractNorm], Floats], count: int) -> Gap:
    """The gap of norms over margins `values` (`count`,) to the certified least of `data` in the norm called `name`."""
    none = np.full(count, math.nan)
    try:
        norm = parse_norm(name)
        solution = solve(data, norm)
    except (InputError, UndefinedError) as error:
        return Gap(none, math.nan, str(error))
    if solution.status.name != "optimal":
        return Gap(none, math.nan, f"the {name} SVM: {solution.status.value}")
    least = float(solution.certificate.lower)
    return Gap(values(norm) / least - 1.0, least)


def _of_head(norm: AbstractNorm, W: Floats, constraints: Constraints) -> Floats:
    """(1,) N(W) over the least margin."""
    return np.array([over_margin(norm, W, least_margin(constraints, W))])


def _over_margin(seen: Snapshot, norm: AbstractNorm) -> float:
    return over_margin(norm, seen.separating, least_margin(seen.constraints, seen.separating))

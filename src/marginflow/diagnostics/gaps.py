"""How far a run is from the SVM of each norm, and how fast its margin grows: what optimisers are compared by."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import least_margin, over_margin
from marginflow.errors import InputError, UndefinedError
from marginflow.norms import AbstractNorm
from marginflow.svm.solution import Solution
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
        heads: of several heads at the last snapshot, each beside its own SVM: its N(W) over its own least margin.
    """

    values: Floats
    least: float
    reason: str = ""
    heads: tuple["Gap", ...] = ()


def gaps(
    path: Trajectory, *, snapshots: list[int] | None = None, norms: tuple[str, ...] | None = None
) -> dict[str, Gap]:
    """The gap of a run in each norm; optimisers are compared at equal margin, not at equal iterations.

    Args:
        path: any run.
        snapshots: which; the last one when None.
        norms: by name; by default those of full matrices, or of diagonals for diagonal weights.
    """
    at = [-1] if snapshots is None else snapshots
    return {name: _gap(path, name, at) for name in norms or _usual(path)}


def gaps_by_head(path: Trajectory, *, norms: tuple[str, ...] | None = None) -> tuple[dict[str, Gap], ...]:
    """The gap of each head at the last snapshot: its N(W) over its own least margin, beside its own SVM.

    () for a run of one head, or onto faces of several tokens.
    """
    found = gaps(path, norms=norms)
    heads = len(next(iter(found.values())).heads)
    return tuple({name: gap.heads[h] for name, gap in found.items()} for h in range(heads))


def _usual(path: Trajectory) -> tuple[str, ...]:
    return DIAGONAL if path.parameterization.diagonal else FULL


def _gap(path: Trajectory, name: str, at: list[int]) -> Gap:
    """The gap in the norm called `name` at the snapshots `at`, with that of each head; every SVM is solved once."""
    none, data = np.full(len(at), math.nan), path.goal.constraints if path.goal.keeps_faces else path.problem
    try:
        solution = solve(data, name)
    except (InputError, UndefinedError) as error:
        # A norm that is not known of block-diagonal weights may be known of each head.
        return Gap(none, math.nan, str(error), _of_heads(path, name, None))
    heads = _of_heads(path, name, solution)
    if solution.status.name != "optimal":
        return Gap(none, math.nan, f"the {name} SVM: {solution.status.value}", heads)
    least = float(solution.certificate.lower)
    values = np.array([_over_margin(path.at(i), solution.norm) for i in at])
    return Gap(values / least - 1.0, least, "", heads)


def _of_heads(path: Trajectory, name: str, joint: Solution | None) -> tuple[Gap, ...]:
    """The gap of every head at the last snapshot, beside its part of the solution `joint` or an SVM of its own."""
    if path.problem.counts[1] == 1 or path.goal.keeps_faces:
        return ()
    out = []
    for h, ((_, rows), W) in enumerate(zip(path.problem.constraints().per_head, path.W(-1), strict=True)):
        try:
            solution = joint.parts[h] if joint is not None else solve(rows, name)
        except (InputError, UndefinedError) as error:
            out.append(Gap(np.full(1, math.nan), math.nan, str(error)))
            continue
        if solution.status.name != "optimal":
            out.append(Gap(np.full(1, math.nan), math.nan, f"the {name} SVM: {solution.status.value}"))
            continue
        least = float(solution.certificate.lower)
        value = over_margin(solution.norm, W, least_margin(rows, W))
        out.append(Gap(np.array([value / least - 1.0]), least))
    return tuple(out)


def margin_speed(path: Trajectory) -> float:
    """Growth of the least margin per iteration over the last half of the iterations; nan for a single snapshot."""
    steps, margin = path.iteration, path.margin
    first = int(np.searchsorted(steps, steps[-1] / 2.0))
    first = min(first, len(steps) - 2)
    if len(steps) < 2 or steps[-1] == steps[first]:
        return math.nan
    return float((margin[-1] - margin[first]) / (steps[-1] - steps[first]))


def _over_margin(seen: Snapshot, norm: AbstractNorm) -> float:
    return over_margin(norm, seen.separating, least_margin(seen.constraints, seen.separating))

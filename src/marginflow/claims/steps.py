"""Runs of discrete steps behind the claims: problems of unit margin, certified gaps, snapshots by iteration."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import weights_in
from marginflow.norms import parse_norm
from marginflow.problem.named import load
from marginflow.problem.problem import Problem
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory


FAMILY = "equal:n=6,T=8,d=10"
"""Random problems on which all wrong tokens score the same, so that few starts are trapped."""


@cache
def problem(seed: int, family: str = FAMILY) -> Problem:
    """One of the family."""
    return load(f"{family},seed={seed}")


def problems(count: int, family: str = FAMILY) -> list[Problem]:
    """The first `count` of the family."""
    return [problem(seed, family) for seed in range(count)]


@cache
def of_unit_margin(seed: int, norm: str, family: str = FAMILY) -> Problem:
    """The same with its tokens times the certified least norm, so that gamma = 1.

    Scaling tokens scales every margin, so that one rate puts many problems at one distance from a threshold.
    """
    made = problem(seed, family)
    return Problem(np.asarray(made.X) * least(made, norm).value, made.z, made.scores)


@cache
def least(data: Problem, norm: str) -> Solution:
    """The certified SVM."""
    return solve(data, norm)


def size(W: Floats, norm: str) -> float:
    """N(W) of a full matrix."""
    kind = parse_norm(norm)
    return float(kind.value(weights_in(kind, W)))


def margin(path: Trajectory, i: int = -1) -> float:
    """The least margin of the weights themselves."""
    return float(path.problem.constraints().margins(path.W(i)).min())


def gap(path: Trajectory, norm: str, i: int = -1) -> float:
    """N(W) over margin and certified least, minus 1; infinite where W does not separate."""
    reached = margin(path, i)
    if reached <= 0.0:
        return math.inf
    return size(path.W(i), norm) / (reached * float(least(path.problem, norm).certificate.lower)) - 1.0


def near(path: Trajectory, iteration: float) -> int:
    """The snapshot nearest to an iteration."""
    return int(np.abs(path.iteration - iteration).argmin())


def at_margin(path: Trajectory, wanted: float) -> int:
    """The snapshot whose margin is nearest."""
    return int(np.abs(path.margin - wanted).argmin())


def power(path: Trajectory, norm: str, over: float = 4.0) -> float:
    """The power of the iteration with which the gap moves over the last factor `over` of the run.

    Weights that do not separate count as a gap of 1e6, and a gap of rounding as 1e-15.
    """
    i = near(path, path.iteration[-1] / over)
    late, early = (min(max(gap(path, norm, k), 1e-15), 1e6) for k in (-1, i))
    return math.log(late / early) / math.log(path.iteration[-1] / path.iteration[i])


def speed(path: Trajectory, over: float = 2.0) -> float:
    """Margin per step over the last factor `over` of the run."""
    i = near(path, path.iteration[-1] / over)
    return (margin(path) - margin(path, i)) / float(path.iteration[-1] - path.iteration[i])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, median and largest."""
    return {"least": min(values), "median": float(np.median(values)), "largest": max(values)}

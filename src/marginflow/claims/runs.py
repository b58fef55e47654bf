"""The runs behind the claims, each made once however many claims read it."""

from functools import cache
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.integrate import integrate
from marginflow.flow.loop import run as follow
from marginflow.flow.record import Record
from marginflow.flow.state import Settings, first_state
from marginflow.losses import Log
from marginflow.model.combined import Combined
from marginflow.model.face_limits import face_limit
from marginflow.model.held_faces import objective_of
from marginflow.model.registry import AbstractParameterization, parse_parameterization
from marginflow.problem.named import family, load
from marginflow.problem.planted import Planted
from marginflow.problem.problem import Problem
from marginflow.selection.judge import Judge
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory


RTOL = 1e-8
"""The integration tolerance of claims that compare with a number; the default 1e-6 elsewhere."""


@cache
def problem(name: str) -> Problem:
    """The named problem."""
    return load(name)


def known(name: str) -> dict[str, float]:
    """The closed-form SVM values of a planted problem."""
    made = family(name)
    if not isinstance(made, Planted):
        raise ValueError(f"{name} has no closed form")
    return made.values


@cache
def solution(name: str, norm: str, loss: str | None = None) -> Solution:
    """The certified SVM solution of a named problem; of the faces of `loss` where one is named."""
    return solve(problem(name), norm, 1e-10, loss=loss)


@cache
def run(
    name: str,
    word: str,
    *,
    margin: float,
    seed: int = 0,
    scale: float = 0.1,
    width: int = 0,
    rtol: float = 1e-6,
    max_steps: int = 20_000,
    loss: str | None = None,
) -> Trajectory:
    """A run of the named problem from a random start; `width` 0 means min(d, d_z)."""
    data = problem(name)
    return integrate(
        data,
        parse_parameterization(word, width or None),
        seed=seed,
        scale=scale,
        until_margin=margin,
        rtol=rtol,
        max_steps=max_steps,
        loss=loss,
    )


@cache
def along_the_loss(name: str, margin: float) -> tuple[Floats, Floats]:
    """W (S, d, d_z) on next tokens and its margins (S,), the log loss itself followed up to `margin`.

    `run` goes over to the limit of faces at 20.
    """
    data, kind, loss = problem(name), Combined(), Log()
    objective = objective_of([data], kind, loss)
    theta = kind.draw(data.d, data.d_z, np.random.default_rng(0), 0.1)["W"]
    state, record = first_state(objective, theta[None]), Record(Judge(data, kind, loss))
    record.add(state, 0)
    follow(objective, state, Settings(margin, 1e-6, 20_000), [record])
    seen, limit = record.snapshots(), face_limit(data, loss)
    assert limit is not None
    return seen.theta, limit.lead(seen.high, seen.low)


def run_from(
    data: Problem, model: AbstractParameterization, init: dict[str, Any], *, margin: float, rtol: float = 1e-6
) -> Trajectory:
    """A run from given arrays."""
    arrays = {key: np.asarray(value, dtype=np.float64) for key, value in init.items()}
    return integrate(data, model, init=arrays, until_margin=margin, rtol=rtol)


def forget() -> None:
    """Drop every run, so that the next claim makes its own (for tests that change the code under it)."""
    for cached in (problem, solution, run, along_the_loss):
        cached.cache_clear()

"""Iterates that another program made, as a run: the door for optimisers and losses that are not here."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, parse_loss
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.registry import parse_parameterization
from marginflow.norms import parse_norm
from marginflow.optim.verdict import judge_steps
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import Method
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.trajectory import Trajectory


def from_weights(
    problem: Problem | str,
    weights: Sequence[Any],
    *,
    log_time: Sequence[float] | None = None,
    iteration: Sequence[int] | None = None,
    parameterization: AbstractParameterization | str = "w",
    loss: str | AbstractLoss | None = None,
    norm: str | None = None,
    label: str = "recorded weights",
) -> Trajectory:
    """A run of `S` recorded states. The pull between two states is not known: the force at each stands for it.

    Args:
        problem: what was trained on; or what `load` takes.
        weights: S states in order, each W (d, d_z); or, with another parameterization, its arrays, as for `init`.
        log_time: (S,) log t of each state, ascending; without, the run has no time.
        iteration: (S,) steps taken before each state, ascending; 0, 1, 2, ... by default.
        parameterization: of the states; or its word.
        loss: that the pull is taken of; or its word.
        norm: the norm that the run is expected to minimise, if there is one.
        label: what made it, for tables and legends.

    Returns:
        The run, judged as runs of steps are (docs/optimisers.md): minimal loss or undecided.

    Raises:
        InputError: no state, states that do not fit the problem, or times that do not ascend.
    """
    problem, kind, loss = as_problem(problem), parse_parameterization(parameterization), parse_loss(loss)
    states = list(weights)
    if not states:
        raise InputError("weights: got no states; expected at least one W")
    model = kind.sized(problem.d, problem.d_z, states[0])
    lift = model.map(problem.d, problem.d_z)
    theta = np.stack([lift.pack(_arrays(model, state, k, problem)) for k, state in enumerate(states)])
    objective = Objective.of([problem], model, loss)
    logits = objective.logits(theta)
    times = np.full(len(states), np.nan) if log_time is None else _ascending("log_time", log_time, len(states))
    steps = np.arange(len(states)) if iteration is None else _ascending("iteration", iteration, len(states))
    snapshots = Snapshots(theta, logits.high, logits.low, objective.force(logits).f, times, steps.astype(np.int64))
    method = Method("recorded", None if norm is None else parse_norm(norm).name, _WHY[norm is None], label, "")
    verdict = judge_steps(problem, loss, snapshots, Ended.recorded, method.norm)
    return Trajectory(problem, model, loss, method, snapshots, verdict, Ended.recorded)


_WHY = {True: "recorded weights: nothing is predicted of what made them", False: "said by who recorded it"}


def _arrays(model: AbstractParameterization, state: Any, k: int, problem: Problem) -> dict[str, Floats]:
    shapes = model.shapes(problem.d, problem.d_z)
    try:
        # A saddle is a start that no flow can have, and a state that a record may begin with.
        named = {name: np.zeros(shape) for name, shape in shapes.items()}
        whole = model.start(state, problem.d, problem.d_z) if np.any([np.any(x) for x in _values(state)]) else named
    except InputError as error:
        raise InputError(f"weights: state {k}: {error}") from None
    return whole


def _values(state: Any) -> list[Any]:
    if isinstance(state, dict):
        return list(state.values())
    return list(state) if isinstance(state, tuple | list) else [state]


def _ascending(name: str, given: Any, count: int) -> Floats:
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (count,) or np.isnan(values).any() or (np.diff(values) < 0).any():
        raise InputError(f"{name}: got {_shape(values)}; expected {count} ascending numbers, one per state")
    return values


def _shape(values: Floats) -> str:
    return f"shape {values.shape}" if values.ndim != 1 else f"{len(values)} numbers, not all in order"

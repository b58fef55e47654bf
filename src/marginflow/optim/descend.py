"""The flow's discrete cousins, from the same force: gradient descent and its normalised forms (theory 2.1, 2.2)."""

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.loss import EXPONENTIAL, AbstractLoss, parse_loss
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization, Arrays
from marginflow.problem.problem import Problem
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import Method
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus, Verdict


Rule = Literal["gradient", "normalised", "normalised-separately"]

PER_DECADE: Final = 8
"""Iterates kept per decade of iterations."""


def descend(
    problem: Problem,
    parameterization: AbstractParameterization,
    *,
    rule: Rule = "gradient",
    rate: float = 0.1,
    iterations: int = 1000,
    seed: int = 0,
    scale: float = 0.1,
    init: Any = None,
    loss: str | AbstractLoss = EXPONENTIAL,
) -> Trajectory:
    """Descend the mean loss with a fixed rate; the trajectory keeps the mean force between its snapshots.

    "gradient" moves by rate times minus the gradient; "normalised" by rate along it, all arrays together;
    "normalised-separately" by rate along each array's own gradient, as TF-as-SVM does for K and Q. The gradient's
    direction is exact at any margin and its size is kept as a logarithm: the normalised rules never divide by an
    underflown number, and "gradient" stalls only where rate times gradient is below the parameters' last bit.

    Args:
        problem, parameterization, seed, scale, init, loss: as for `integrate`.
        rule: one of the above.
        rate: > 0.
        iterations: > 0.

    Raises:
        InputError, UndefinedError: as `integrate`.
    """
    rules: dict[str, Callable[[Arrays, float], tuple[Arrays, float]]] = {
        "gradient": _plain,
        "normalised": _together,
        "normalised-separately": _separately,
    }
    if rule not in rules:
        raise InputError(f"rule: got {rule!r}; expected one of {', '.join(rules)}")
    if not rate > 0 or not np.isfinite(rate) or iterations < 1:
        raise InputError(f"descend: got rate {rate} and {iterations} iterations; expected positive numbers")
    loss = parse_loss(loss)
    d, d_z = problem.d, problem.d_z
    objective = Objective.of([problem], parameterization, loss)
    drawn = parameterization.draw(d, d_z, np.random.default_rng(seed), scale) if init is None else init
    arrays = parameterization.start(drawn, d, d_z)
    seen: list[tuple[Floats, Floats, Floats, int]] = []
    due = 0
    # What made the weights since the last snapshot, at the scale of the largest force in it.
    pulled, log_size = np.zeros(problem.mask.shape), -np.inf
    for k in range(iterations + 1):
        theta = objective.map.pack(arrays)
        s = objective.logits(theta[None])
        here = objective.force(s)
        if k == due or k == iterations:
            f = pulled if k else here.f[0]
            seen.append((theta, s.high[0] + s.low[0], f, k))
            due = max(k + 1, int(np.ceil(max(k, 1) * 10.0 ** (1.0 / PER_DECADE))))
            pulled, log_size = np.zeros_like(pulled), -np.inf
        pull = objective.map.descent(arrays, objective.tokens.adjoint(here.f)[0])
        moves, weight = rules[rule](pull, float(here.log_norm[0]))
        most = max(log_size, weight)
        pulled = pulled * np.exp(log_size - most) + here.f[0] * np.exp(weight - most)
        log_size = most
        arrays = {name: arrays[name] + rate * moves[name] for name in arrays}
    thetas, logits, forces, steps = (np.stack(column) for column in zip(*seen, strict=True))
    snapshots = Snapshots(thetas, logits, np.zeros_like(logits), forces, np.full(len(steps), np.nan), steps)
    options = {"seed": seed if init is None else -1, "scale": scale, "rate": rate, "iterations": iterations}
    norm = parameterization.flow_norm
    why = f"{rule} descent follows the flow of {parameterization.label} in the limit of small steps"
    method = Method("descend", norm, why, f"{rule} descent, rate {rate:g}", "", options)
    verdict = Verdict(FlowStatus.undecided, "where a discrete method ends is not judged yet")
    return Trajectory(problem, parameterization, loss, method, snapshots, verdict, Ended.steps)


def _plain(pull: Arrays, log_norm: float) -> tuple[Arrays, float]:
    return {name: np.exp(log_norm) * move for name, move in pull.items()}, log_norm


def _together(pull: Arrays, log_norm: float) -> tuple[Arrays, float]:
    size = max(np.sqrt(sum(float((move * move).sum()) for move in pull.values())), 1e-300)
    return {name: move / size for name, move in pull.items()}, -float(np.log(size))


def _separately(pull: Arrays, log_norm: float) -> tuple[Arrays, float]:
    sizes = {name: max(float(np.linalg.norm(move)), 1e-300) for name, move in pull.items()}
    return {name: move / sizes[name] for name, move in pull.items()}, -float(np.log(max(sizes.values())))

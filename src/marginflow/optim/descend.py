"""The flow's discrete cousins, from the same force: gradient descent and its normalised forms (theory 2.1, 2.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.force import Loss, force, log_excess
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization, Arrays
from marginflow.problem.problem import Problem


Rule = Literal["gradient", "normalised", "normalised-separately"]

PER_DECADE: Final = 8
"""Iterates kept per decade of iterations."""


@dataclass(frozen=True, eq=False)
class Descent:
    """Iterates of a descent; `i` counts those kept, -1 is the last.

    Attributes:
        problem, parameterization, loss, rule, rate: what was run.
        iterations: (S,) int, how many steps had been taken.
        kept: the trained arrays at each.
        margin: (S,) least margin of the optimal tokens.
        log_excess: (S,) log(L - L*).
    """

    problem: Problem
    parameterization: AbstractParameterization
    loss: Loss
    rule: Rule
    rate: float
    iterations: Floats
    kept: tuple[Arrays, ...]
    margin: Floats
    log_excess: Floats

    def parameters(self, i: int = -1) -> Arrays:
        """The trained arrays."""
        return self.kept[i]

    def W(self, i: int = -1) -> Floats:
        """(d, d_z) the attention weights; the full matrix also for diagonal weights."""
        lift = self.parameterization.lift(self.problem.d, self.problem.d_z)
        weights = lift.weights(lift.pack(self.kept[i])[None])[0]
        return np.diag(weights) if weights.ndim == 1 else weights


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
    loss: Loss = "exponential",
) -> Descent:
    """Descend the mean loss with a fixed rate.

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
    rules: dict[str, Callable[[Arrays, float], Arrays]] = {
        "gradient": _plain,
        "normalised": _together,
        "normalised-separately": _separately,
    }
    if rule not in rules:
        raise InputError(f"rule: got {rule!r}; expected one of {', '.join(rules)}")
    if not rate > 0 or not np.isfinite(rate) or iterations < 1:
        raise InputError(f"descend: got rate {rate} and {iterations} iterations; expected positive numbers")
    d, d_z = problem.d, problem.d_z
    lift = parameterization.lift(d, d_z)
    tokens = Tokens.of([problem], diagonal=parameterization.diagonal)
    drawn = parameterization.draw(d, d_z, np.random.default_rng(seed), scale) if init is None else init
    arrays = parameterization.start(drawn, d, d_z)
    kept: list[tuple[int, Arrays, Floats]] = []
    due = 0
    for k in range(iterations + 1):
        s = Logits.of(tokens.push(lift.weights(lift.pack(arrays)[None])), tokens.mask)
        if k == due or k == iterations:
            kept.append((k, arrays, s.high[0] + s.low[0]))
            due = max(k + 1, int(np.ceil(max(k, 1) * 10.0 ** (1.0 / PER_DECADE))))
        here = force(s, tokens.scores, loss)
        pull = lift.pull(arrays, tokens.pull(here.f)[0])
        moves = rules[rule](pull, float(here.log_norm[0]))
        arrays = {name: arrays[name] + rate * moves[name] for name in arrays}
    logits = np.stack([row for _, _, row in kept])
    both = Logits(logits, np.zeros_like(logits))
    excess = log_excess(both, problem.scores[None], problem.optimal[None], problem.mask[None], loss)
    c = problem.constraints()
    lead = logits[:, c.sample, problem.optimal[c.sample]] - logits[:, c.sample, c.token]
    steps = np.array([k for k, _, _ in kept])
    return Descent(
        problem, parameterization, loss, rule, rate, steps, tuple(a for _, a, _ in kept), lead.min(axis=1), excess
    )


def _plain(pull: Arrays, log_norm: float) -> Arrays:
    return {name: np.exp(log_norm) * move for name, move in pull.items()}


def _together(pull: Arrays, log_norm: float) -> Arrays:
    size = np.sqrt(sum(float((move * move).sum()) for move in pull.values()))
    return {name: move / max(size, 1e-300) for name, move in pull.items()}


def _separately(pull: Arrays, log_norm: float) -> Arrays:
    return {name: move / max(float(np.linalg.norm(move)), 1e-300) for name, move in pull.items()}

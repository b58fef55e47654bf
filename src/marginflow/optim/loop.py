"""The loop: a batch of runs, stepped together, with the mean force between what is kept of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.model.logits import ABSENT
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization, Arrays
from marginflow.optim.decay import AbstractDecay
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.plain_force import PlainForce, Pulled
from marginflow.optim.rate import AbstractRate, Stand
from marginflow.optim.scaled import Scaled, batch, log_ratio, spread
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.snapshots import Snapshots


PER_DECADE: Final = 8
"""Iterates kept per decade of iterations."""

RESOLVED: Final = 1e-3
"""Exponents are resolved to this: float64 ends where its last bit in a logit is larger."""

FAR: Final = 1e12
"""A logit from which on it is asked at every step whether float64 resolves them."""

LARGEST_WEIGHT: Final = 1e150
"""Beyond it norms overflow."""

CHECKED_EVERY: Final = 50
"""Steps between looks at whether float64 ends, and between reports of progress."""


COUNTED_TO: Final = 100.0
"""A sum is counted from e^x for as long as what is added is between e^(x - 100) and e^(x + 100)."""


@dataclass(frozen=True)
class Recipe:
    """What every run of a batch shares."""

    parameterization: AbstractParameterization
    optimiser: AbstractOptimiser
    rate: AbstractRate
    decay: AbstractDecay | None
    iterations: int
    until_margin: float
    batch: int | None


@dataclass(frozen=True)
class Progress:
    """How far a batch has come: steps taken and allowed, runs still going, and the least margin of the last of them."""

    iteration: int
    iterations: int
    running: int
    margin: float


class Run:
    """What is kept of one run."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.ended = Ended.steps

    @property
    def snapshots(self) -> Snapshots:
        """All of it, stacked."""
        theta, high, f, steps = (np.stack(column) for column in zip(*self.seen, strict=True))
        return Snapshots(theta, high, np.zeros_like(high), f, np.full(len(steps), np.nan), steps)


class Loop:
    """A batch of runs of one shape; `advance` takes a step of all that have not ended."""

    def __init__(
        self, objective: Objective, arrays: Arrays, recipe: Recipe, draws: list[np.random.Generator] | None
    ) -> None:
        self.objective, self.arrays, self.recipe, self.draws = objective, arrays, recipe, draws
        self.runs = [Run() for _ in range(batch(arrays))]
        self.going: Bools = np.ones(len(self.runs), dtype=bool)
        self.state = recipe.optimiser.init(arrays)
        self.iteration, self.due = 0, 0
        tokens = objective.tokens
        scores = np.where(tokens.mask, tokens.scores, -np.inf)
        self._behind = scores < scores.max(axis=2, keepdims=True)
        self._best = scores.argmax(axis=2)[..., None]
        self._force = PlainForce(objective)
        self._absent = None if tokens.mask.all() else ~tokens.mask
        # What made the weights since the last snapshot, counted from the largest part.
        self._pulled, self._log_pulled = np.zeros((len(self.runs), *tokens.shape)), np.full(len(self.runs), -np.inf)
        self._last: Arrays = {}
        self._before: Arrays = arrays
        self._left: Bools = np.zeros(len(self.runs), dtype=bool)

    def go(self, report: Callable[[Progress], None] | None) -> None:
        """To the end of every run."""
        # What leaves the numbers that float64 has ends its run at the state before (`_step_back`).
        with np.errstate(over="ignore", invalid="ignore"):
            while self.going.any():
                self.advance(report)

    def advance(self, report: Callable[[Progress], None] | None = None) -> None:
        """Look at where the runs are, keep and end what is due, and take one step."""
        recipe, objective, k = self.recipe, self.objective, self.iteration
        s = self._logits()
        here = self._force.of(s)
        margin = self._margin(s) if math.isfinite(recipe.until_margin) or k % CHECKED_EVERY == 0 else None
        over = self._endings(s, here.log_norm, margin)
        if Ended.floor in over.values():
            s = self._step_back(s)
        if k == self.due or over:
            self._keep(s, here.f, over)
        if report is not None and k % CHECKED_EVERY == 0 and margin is not None and self.going.any():
            report(Progress(k, recipe.iterations, int(self.going.sum()), float(margin[self.going].min())))
        if not self.going.any():
            return
        if self.draws is not None and recipe.batch is not None:
            here = _of_batch(self._force.of(s, self._drawn(recipe.batch)), self._force.outputs / recipe.batch)
        G = objective.tokens.adjoint(here.f)
        pull = Scaled(objective.map.descents(self.arrays, G), here.log_norm)
        seen = pull if recipe.decay is None else recipe.decay.pull(pull, self.arrays)
        direction, self.state = recipe.optimiser.update(self.state, seen, self.arrays)
        degree = recipe.parameterization.degree
        stand = Stand(here, pull, direction, self.arrays, objective, recipe.optimiser, degree, k)
        log_rate = recipe.rate.log_rate(stand)
        self._collect(here.f, pull, direction, log_rate)
        before = self.arrays if recipe.decay is None else recipe.decay.shrink(self.arrays, log_rate)
        moved = recipe.optimiser.move(before, direction, log_rate)
        self._before = self.arrays
        if self.going.all():
            self.arrays = moved
        else:
            self.arrays = {n: np.where(spread(self.going, x), x, self.arrays[n]) for n, x in moved.items()}
        self.iteration = k + 1

    def _logits(self) -> Floats:
        """(B, n, T) those of the arrays."""
        s = self.objective.tokens.logits(self.objective.map.product(self.arrays))
        return s if self._absent is None else np.where(self._absent, ABSENT, s)

    def _margin(self, s: Floats) -> Floats:
        """(B,) the least margin of the optimal tokens."""
        best = np.take_along_axis(s, np.broadcast_to(self._best, (*s.shape[:2], 1)), axis=2)
        return np.asarray(np.where(self._behind, best - s, np.inf).min(axis=(1, 2)))

    def _endings(self, s: Floats, log_norm: Floats, margin: Floats | None) -> dict[int, Ended]:
        """Which runs end here, and why."""
        recipe = self.recipe
        over: dict[int, Ended] = {}
        if self.iteration % CHECKED_EVERY == 0 or not s.max() < FAR or not np.isfinite(log_norm).all():
            behind = s.max(axis=2, keepdims=True) - s
            size = np.where(self.objective.tokens.mask, behind, 0.0).max(axis=(1, 2))
            lost = ~(size * np.finfo(float).eps < RESOLVED) | ~np.isfinite(log_norm)
            over |= dict.fromkeys(np.flatnonzero(lost & self.going).tolist(), Ended.floor)
        if margin is not None:
            over |= dict.fromkeys(np.flatnonzero((margin >= recipe.until_margin) & self.going).tolist(), Ended.margin)
        if self.iteration >= recipe.iterations:
            over = dict.fromkeys(np.flatnonzero(self.going).tolist(), Ended.steps) | over
        return over

    def _keep(self, s: Floats, f: Floats, over: dict[int, Ended]) -> None:
        """A snapshot of every run that ends, and of all that go on where one is due."""
        k, lift = self.iteration, self.objective.map
        s = s - s.max(axis=2, keepdims=True)
        whole = k == self.due
        still = self._stood(whole)
        for b, run in enumerate(self.runs):
            if not self.going[b] or not (whole or b in over):
                continue
            theta = lift.pack({n: x[b] for n, x in self.arrays.items()})
            at = k - int(self._left[b])
            if not run.seen or run.seen[-1][-1] != at:
                run.seen.append((theta, s[b].copy(), self._pulled[b].copy() if k else f[b].copy(), at))
            if b in over or still[b]:
                run.ended = over.get(b, Ended.stalled)
                self.going[b] = False
        if whole:
            self.due = max(k + 1, math.ceil(max(k, 1) * 10.0 ** (1.0 / PER_DECADE)))
            self._pulled[:], self._log_pulled[:] = 0.0, -np.inf
            self._last = self.arrays

    def _step_back(self, s: Floats) -> Floats:
        """The logits; weights whose squares leave float64's range are taken back to those before the last step."""
        W = self.objective.map.product(self.arrays)
        self._left = self.going & ~(np.abs(W).reshape(len(W), -1).max(axis=1) < LARGEST_WEIGHT)
        if not self._left.any():
            return s
        self.arrays = {n: np.where(spread(self._left, x), self._before[n], x) for n, x in self.arrays.items()}
        return np.where(spread(self._left, s), self._logits(), s)

    def _stood(self, whole: bool) -> Bools:
        """(B,) runs of which no bit has changed since the last snapshot, long enough for that to mean something."""
        if not whole or self.iteration < 1000:
            return np.zeros(len(self.runs), dtype=bool)
        each = [(x == self._last[n]).reshape(len(x), -1).all(axis=1) for n, x in self.arrays.items()]
        return np.asarray(np.all(each, axis=0))

    def _collect(self, f: Floats, pull: Scaled, direction: Scaled, log_rate: Floats) -> None:
        """Add the force, weighted by the length of the step over that of the pull."""
        weight = log_rate + direction.log + log_ratio(direction.arrays, pull.arrays)
        ahead = weight - self._log_pulled
        if not (np.abs(ahead) < COUNTED_TO).all():
            weight = np.where(np.isfinite(weight), weight, -np.inf)
            top = np.maximum(self._log_pulled, weight)
            counted = np.where(np.isneginf(top), 0.0, top)
            self._pulled *= spread(np.exp(self._log_pulled - counted), f)
            self._log_pulled, ahead = top, weight - counted
        self._pulled += spread(np.exp(ahead), f) * f

    def interrupt(self) -> None:
        """End every run that goes on, where it is."""
        s = self._logits()
        over = dict.fromkeys(np.flatnonzero(self.going).tolist(), Ended.interrupted)
        fresh = [b for b in over if not self.runs[b].seen or self.runs[b].seen[-1][-1] != self.iteration]
        self._keep(s, self._force.of(s).f, dict.fromkeys(fresh, Ended.interrupted))
        for b in over:
            self.runs[b].ended = Ended.interrupted
        self.going[:] = False

    def _drawn(self, size: int) -> Floats:
        """(T, n, B) the scores of a mini-batch: equal where an output is not drawn, which then carries no force."""
        assert self.draws is not None
        count, outputs = self._force.outputs, self.objective.tokens.outputs
        chosen = np.zeros((count, len(self.runs)), dtype=bool)
        for b, draw in enumerate(self.draws):
            chosen[draw.choice(count, size, replace=False), b] = True
        return np.where(chosen if outputs is None else chosen[outputs.of_row], self._force.scores, 0.0)


def _of_batch(force: Pulled, times: float) -> Pulled:
    """The force of a mean over fewer samples: larger by `times`; zero where no sample drawn has a constraint."""
    return Pulled(force.f, np.where(np.isneginf(force.log_norm), 0.0, force.log_norm + math.log(times)))

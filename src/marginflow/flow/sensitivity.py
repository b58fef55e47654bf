"""How far an error at the start, or on the way, has grown: along the run, at the price of a seventh of a step."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.flow.kinds import Kinds, StepKind
from marginflow.flow.point import Point
from marginflow.flow.state import State, select
from marginflow.model.objective import Objective


BARRIER_LEAD: Final = float(np.log(3.0)) * (1.0 - 1e-9)
"""Below the barrier every margin is at least this (the theorem of docs/flow.md)."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """A unit error carried along each of `B` runs by the Jacobian of the flow, until the barrier.

    Attributes:
        barrier: (B,) the log excess below which the theorem applies.
        error: (B, ...) the error of theta; one of relative size 1 along `fresh` is added with every step.
        fresh: (B, ...) a seeded direction in what the flow can move, drawn once.
        growth: (B,) the largest |d theta'| / |theta'| that it has made so far, d theta' the error of the velocity.
        started: (B,) the error was carried from the start: not in a run gone on with.
        known: (B,) and all the way: not after an implicit step.
        crossed: (B,) the excess has been below the barrier; what comes after does not matter.
    """

    barrier: Floats
    error: Floats
    fresh: Floats
    growth: Floats
    started: Bools
    known: Bools
    crossed: Bools

    @classmethod
    def at(cls, objective: Objective, state: State, barrier: Floats) -> "Sensitivity":
        """At the start."""
        B = len(barrier)
        theta = state.at.theta
        crossed = objective.log_excess(state.at.s) < barrier
        started = state.steps == 0
        fresh = _direction(objective, theta, 1)
        return cls(barrier, relative_error(objective, theta, 0), fresh, np.zeros(B), started, started, crossed)

    def of(self, b: int) -> float:
        """The growth along run `b`; inf where it was not carried all the way."""
        return float(self.growth[b]) if self.known[b] else np.inf

    def after(self, objective: Objective, before: State, state: State, accepted: Bools, taken: Kinds) -> "Sensitivity":
        """After a step of the batch from `before` to `state`, of the kinds `taken`."""
        if self.crossed.all():
            return self
        out = self
        moving = accepted & ~self.crossed & self.known
        if moving.any():
            known = self.known & ((taken == StepKind.explicit) | ~moving)
            carried = moving & known
            error, growth = self.error, self.growth
            if carried.any():
                error, growth = error.copy(), growth.copy()
                at, h = select(before.at, carried), (state.tau - before.tau)[carried]
                error[carried], grown = _carried(objective.keep(carried), at, h, error[carried], self.fresh[carried])
                growth[carried] = np.maximum(growth[carried], grown)
            out = replace(out, error=error, growth=growth, known=known)
        near = accepted & ~self.crossed
        if objective.values is None:
            near &= state.at.force.gap.min(axis=1) >= BARRIER_LEAD
        if near.any():
            below = objective.log_excess(state.at.s) < self.barrier
            out = replace(out, crossed=self.crossed | (near & below))
        return out


def relative_error(objective: Objective, theta: Floats, seed: int) -> Floats:
    """(B, ...) a seeded error of `theta` of relative size 1 as the map measures it, in what the flow can move.

    Weights that may start at zero have no size of their own there: the error then changes logits by up to 1.
    """
    return _of_unit_size(objective, theta, _direction(objective, theta, seed))


def _direction(objective: Objective, theta: Floats, seed: int) -> Floats:
    """(B, ...) the direction of `relative_error`: it depends on the shape of `theta` and the seed alone."""
    rng = np.random.default_rng(seed)
    one = (1, *theta.shape[1:])
    weights = objective.map.weights(theta[:1])
    moves = objective.map.vjp(rng.standard_normal(one), rng.standard_normal(weights.shape)) != 0.0
    return np.broadcast_to(rng.standard_normal(one) * moves, theta.shape)


def _of_unit_size(objective: Objective, theta: Floats, error: Floats) -> Floats:
    """`error` over its relative size at `theta`."""
    size = objective.map.distance(theta, error)
    at_zero = np.abs(objective.tokens.logits(objective.map.jvp(np.zeros_like(theta), error))).max(axis=(1, 2))
    size = np.where(at_zero > 0.0, np.minimum(size, at_zero), size)
    return np.asarray(error / size.reshape(-1, *(1,) * (theta.ndim - 1)))


def _carried(objective: Objective, at: Point, h: Floats, error: Floats, fresh: Floats) -> tuple[Floats, Floats]:
    """`error` after steps `h` (B,) from `at`, with one along `fresh` added; and |d theta'| / |theta'| (B,)."""
    flat = (-1, *(1,) * (error.ndim - 1))
    rate = _velocity_error(objective, at, error)
    grown = _norm(rate) / np.maximum(_norm(at.dtheta), 1e-300)
    moved = error + h.reshape(flat) * rate
    if objective.lead_of is not None:
        # Balance inside a face is restored faster than a step: an error that would turn round has died out.
        turned = (moved * error).reshape(len(error), -1).sum(axis=1) < 0.0
        moved = np.where(turned.reshape(flat), error, moved)
    # An error e in the direction of growth at the rate r becomes (1 + h r) e here, and e^(h r) e along the flow.
    factor = _norm(moved) / np.maximum(_norm(error), 1e-300)
    factor = np.maximum(factor, 1.0)
    moved *= (np.exp(np.minimum(factor - 1.0, 100.0)) / factor).reshape(flat)
    return np.clip(moved + _of_unit_size(objective, at.theta, fresh), -1e100, 1e100), grown


def _velocity_error(objective: Objective, at: Point, error: Floats) -> Floats:
    """d theta' for an error of theta: its logits, their force, its pull; and the map's own change, by a difference."""
    map, tokens = objective.map, objective.tokens
    pull = tokens.adjoint(at.force.jvp(tokens.logits(map.jvp(at.theta, error))))
    size = np.maximum(_norm(error), 1e-300) / np.maximum(1e-4 * _norm(at.theta), 1e-200)
    small = error / size.reshape(-1, *(1,) * (error.ndim - 1))
    bend = (map.vjp(at.theta + small, at.G) - map.vjp(at.theta - small, at.G)) / 2.0
    return np.asarray(map.vjp(at.theta, pull) + bend * size.reshape(-1, *(1,) * (error.ndim - 1)))


def _norm(v: Floats) -> Floats:
    """(B,) Euclidean."""
    return np.asarray(np.sqrt((v * v).reshape(len(v), -1).sum(axis=1)))

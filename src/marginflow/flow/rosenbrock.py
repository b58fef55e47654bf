"""One stiffly accurate Rosenbrock step of the coupled parameters and logits (derived in docs/flow.md).

The method is Rodas5P (Steinebach, BIT 63:27, 2023): 8 stages, order 5 with an embedded order 4, L-stable, and of
full order on the index-1 problem that the flow becomes at large margin.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs

from marginflow.arrays import Floats, Ints
from marginflow.flow.point import Point, point
from marginflow.flow.symmetric_system import SymmetricSystem
from marginflow.model.force import Force, jacobian_product
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractResolvent


GAMMA: Final = 0.21193756319429014

_A: Final = (
    (),
    (3.0,),
    (2.849394379747939, 0.45842242204463923),
    (-6.954028509809101, 2.489845061869568, -10.358996098473584),
    (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
    (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
)
_C: Final = (
    (),
    (-14.155112264123755,),
    (-17.97296035885952, -2.859693295451294),
    (147.12150275711716, -1.41221402718213, 71.68940251302358),
    (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
    (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
    (
        30.91273214028599,
        -3.1208243349937974,
        77.79954646070892,
        34.28646028294783,
        -19.097331116725623,
        -28.087943162872662,
    ),
    (
        37.80277123390563,
        -3.2571969029072276,
        112.26918849496327,
        66.9347231244047,
        -40.06618937091002,
        -54.66780262877968,
        -9.48861652309627,
    ),
)
# Stages 7 and 8 start where the one before ended; the step ends at stage 8's start plus its increment.
STAGE_WEIGHTS: Final = tuple(np.array(row) for row in (*_A, (*_A[5], 1.0), (*_A[5], 1.0, 1.0)))
STAGE_COUPLINGS: Final = tuple(np.array(row) for row in _C)
STAGES: Final = 8

_DENSE: Final = (
    (
        25.948786856663858,
        -2.5579724845846235,
        10.433815404888879,
        -2.3679251022685204,
        0.524948541321073,
        1.1241088310450404,
        0.4272876194431874,
        -0.17202221070155493,
    ),
    (
        -9.91568850695171,
        -0.9689944594115154,
        3.0438037242978453,
        -24.495224566215796,
        20.176138334709044,
        15.98066361424651,
        -6.789040303419874,
        -6.710236069923372,
    ),
    (
        11.419903575922262,
        2.8879645146136994,
        72.92137995996029,
        80.12511834622643,
        -52.072871366152654,
        -59.78993625266729,
        -0.15582684282751913,
        4.883087185713722,
    ),
)
# The method's continuous extension y0 (1-x) + x (y1 + (1-x)(d1 + x (d2 + x d3))) at x = 1/2.
MIDDLE: Final = (np.array(_DENSE[0]) + np.array(_DENSE[1]) / 2.0 + np.array(_DENSE[2]) / 4.0) / 4.0

ALL_ACTIVE: Final = 64
"""Tokens in all up to which a step does not look for the ones that act."""

SYMMETRIC_FROM: Final = 64
"""Tokens of a system from which its symmetry is used: below, what it saves is less than what it takes to look."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a step proposes.

    Attributes:
        theta: (B, ...) parameters at the end.
        ds: (B, n, T) change of the logits.
        ds_middle: (B, n, T) their change at half the step.
        theta_error: (B, ...), ds_error (B, n, T): the end minus the embedded solution.
        embedded: the force at the embedded solution.
    """

    theta: Floats
    ds: Floats
    ds_middle: Floats
    theta_error: Floats
    ds_error: Floats
    embedded: Force


def step(objective: Objective, at: Point, h: Floats, active: Ints | None) -> Step:
    """Step every run of the batch by its own `h` (B,).

    `active` (B, A) holds the flat indices of the tokens whose weights matter, padded with any others; None for all.
    """
    a = 1.0 / (GAMMA * h)
    solver = _Solver(objective, at, a, active)
    B = len(h)
    size = at.theta[0].size
    U = np.empty((STAGES, B, size + at.ds[0].size))
    U_theta = U[:, :, :size].reshape(STAGES, *at.theta.shape)
    U_s = U[:, :, size:].reshape(STAGES, *at.ds.shape)
    theta, ds, here = at.theta, np.zeros_like(at.ds), at
    stage = at.force
    for i in range(STAGES):
        if i == 0:
            U_theta[0], U_s[0] = solver.solve(at.dtheta, at.ds)
            continue
        moved = (STAGE_WEIGHTS[i] @ U[:i].reshape(i, -1)).reshape(B, -1)
        theta = at.theta + moved[:, :size].reshape(at.theta.shape)
        ds = moved[:, size:].reshape(at.ds.shape)
        here = point(objective, theta, at.s.moved(ds))
        stage = here.force
        coupled = (STAGE_COUPLINGS[i] @ U[:i].reshape(i, -1)).reshape(B, -1)
        coupled /= h[:, None]
        right = here.dtheta + coupled[:, :size].reshape(at.theta.shape)
        U_theta[i], U_s[i] = solver.solve(right, here.ds + coupled[:, size:].reshape(at.ds.shape))
    end = ds + U_s[-1]
    middle = end / 2.0 + np.tensordot(MIDDLE, U_s, axes=1)
    return Step(theta + U_theta[-1], end, middle, U_theta[-1], U_s[-1], stage)


class _Solver:
    """(a - Jacobian)^-1 of the coupled system, reduced to the tokens that act.

    With u = J_f ds: (1 - J_f M) u = J_f r, d theta = A0^-1 (R_theta + phi'* u), and
    ds = r + logits(predicted_jvp(A0^-1 phi'* u)), where r is ds for u = 0.
    """

    def __init__(self, objective: Objective, at: Point, a: Floats, active: Ints | None) -> None:
        self.map, self.tokens, self.at = objective.map, objective.tokens, at
        self.a = a
        self.resolvent: AbstractResolvent = self.map.resolvent(at.theta, at.dtheta, at.G, a)
        B = len(a)
        self.held = objective.held
        self.symmetric = None
        if self.held is None and (at.ds[0].size if active is None else active.shape[1]) >= SYMMETRIC_FROM:
            self.symmetric = SymmetricSystem.of(at, self.tokens, self.resolvent, active)
        if self.symmetric is not None:
            return
        n, T = at.ds.shape[1:]
        # Flat indices into (B, n, T) arrays; None for all.
        self.places = None if active is None else active + n * T * np.arange(B)[:, None]
        self.real = None if active is None or not self.tokens.by_head or (active >= 0).all() else active >= 0
        x, z = self.tokens.gather(active)
        held = self.held
        if held is None:
            M = self.resolvent.kernel(x, z)
        else:
            x, z, place = held.beside(x, z)
            M = self.resolvent.kernel(x, z)[:, place[:, None], place]
        size = M.shape[1] - (0 if held is None else len(held))
        f, p, slope_gradient = (self._take(v) for v in (at.force.f, at.force.p, at.force.slope_gradient))
        index = np.broadcast_to(np.arange(size), f.shape) if active is None else active
        sample = index // T + n * np.arange(B)[:, None]
        if self.real is not None:
            sample = np.where(self.real, sample, n * B)
        outputs, output = at.force.outputs, None
        if outputs is not None:
            output = outputs.of_row[index // T] + outputs.m * np.arange(B)[:, None]
        M = np.broadcast_to(M, (B, *M.shape[1:]))
        found = at.force.bend
        bend = None if found is None else (self._take_values(found.moved), self._take_values(found.back))
        system = jacobian_product(f, p, slope_gradient, sample, M[:, :size], output, bend)
        np.negative(system, out=system)
        if held is None:
            system.reshape(B, -1)[:, :: size + 1] += 1.0
        else:
            # Multipliers nu of the held margins: u = J_f ds + nu, and their rows say that these margins stand still.
            system[:, np.arange(size), np.arange(size)] += 1.0
            scale = np.abs(M[:, size:, size:]).max(axis=(1, 2), keepdims=True)
            self.scale = 1.0 / np.maximum(scale[:, 0], 1e-300)
            system = np.concatenate([system, M[:, size:] * self.scale[:, None]], axis=1)
        # LAPACK reads the transposes, which are Fortran arrays already; solving with trans=1 undoes that.
        self.factors = [dgetrf(matrix.T, overwrite_a=True)[:2] for matrix in system]

    def _take(self, v: Floats) -> Floats:
        if self.places is None:
            return v.reshape(len(v), -1)
        out = v.take(self.places)
        return out if self.real is None else np.where(self.real, out, 0.0)

    def _take_values(self, v: Floats) -> Floats:
        """(B, A, k) of v (B, n, T, k)."""
        return np.stack([self._take(v[..., j]) for j in range(v.shape[3])], axis=2)

    def solve(self, right_theta: Floats, right_s: Floats) -> tuple[Floats, Floats]:
        tokens, at = self.tokens, self.at
        column = self.a[:, None, None]
        free = self.resolvent.solve(right_theta)
        weights = self.resolvent.predicted_jvp(free)
        weights = weights - self.map.jvp(at.theta, right_theta) / self.a.reshape(-1, *(1,) * (weights.ndim - 1))
        r = right_s / column + tokens.logits(weights)
        if self.symmetric is not None:
            return self._ended(free, r, tokens.adjoint(self.symmetric.solve(at.force.jvp(r))))
        right = self._take(at.force.jvp(r))
        if self.held is not None:
            right = np.concatenate([right, -self.held.along(weights) * self.scale], axis=1)
        solved = np.empty_like(right)
        for b, lu in enumerate(self.factors):
            solved[b] = dgetrs(*lu, right[b], trans=1)[0]
        held, multipliers = self.held, None
        if held is not None:
            solved, multipliers = np.split(solved, [solved.shape[1] - len(held)], axis=1)
        if self.places is None:
            u = solved.reshape(r.shape)
        else:
            u = np.zeros_like(r)
            if self.real is None:
                u.reshape(-1)[self.places] = solved
            else:
                u.reshape(-1)[self.places[self.real]] = solved[self.real]
        pulled = tokens.adjoint(u)
        if held is not None and multipliers is not None:
            pulled = np.asarray(pulled + held.pull(multipliers))
        return self._ended(free, r, pulled)

    def _ended(self, free: Floats, r: Floats, pulled: Floats) -> tuple[Floats, Floats]:
        """(d theta, ds) for the pull of u on the weights."""
        extra = self.resolvent.solve(self.map.vjp(self.at.theta, pulled))
        return free + extra, r + self.tokens.logits(self.resolvent.predicted_jvp(extra))

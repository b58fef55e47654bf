"""Multipliers that bound a margin over a set of weights as well as any do (docs/attractors.md, Certificate).

The least <A_b, W> over {W: margins >= 1, N(W) <= U} is the largest sum lambda - U N_d(sum lambda A - A_b) over
lambda >= 0. A barrier for {N_d(M) <= t} and Newton's method follow the central path of that concave problem; the
centre for mu also yields weights of the set, so both sides are known. Nothing here is trusted: whoever asks
certifies the multipliers.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.norms import AbstractNorm
from marginflow.svm.program import Svm


@dataclass(frozen=True, eq=False)
class _Local:
    """A barrier F(lambda, t) of {N_d(sum lambda A - A_b) < t}: gradient and Hessian in (lambda, t)."""

    gradient: Floats
    hessian: Floats


class AbstractBarrier(ABC):
    """The barrier of one further constraint, over the rows that get multipliers."""

    @property
    @abstractmethod
    def parameter(self) -> float:
        """By how much mu times it the centre for mu misses the optimum."""

    @abstractmethod
    def size(self, dual: Floats) -> float:
        """N_d(sum lambda A - A_b)."""

    @abstractmethod
    def at(self, dual: Floats, t: float) -> _Local:
        """Derivatives at a point inside."""

    @abstractmethod
    def further(self, dual: Floats, t: float, mu: float) -> float:
        """<A_b, W> at the weights W that belong to this point."""


@dataclass(frozen=True, eq=False)
class EuclideanBarrier(AbstractBarrier):
    """-log(t^2 - |M|^2), from inner products alone: gram (C, C), cross (C,) those with A_b, square |A_b|^2."""

    gram: Floats
    cross: Floats
    square: float

    @property
    def parameter(self) -> float:
        return 2.0

    def size(self, dual: Floats) -> float:
        square = float(dual @ (self.gram @ dual)) - 2.0 * float(dual @ self.cross) + self.square
        return math.sqrt(max(square, 0.0))

    def at(self, dual: Floats, t: float) -> _Local:
        slope = self.gram @ dual - self.cross
        room = t * t - self.size(dual) ** 2
        first = np.append(2.0 * slope, -2.0 * t) / room
        hessian = np.outer(first, first)
        hessian[:-1, :-1] += 2.0 * self.gram / room
        hessian[-1, -1] -= 2.0 / room
        return _Local(first, hessian)

    def further(self, dual: Floats, t: float, mu: float) -> float:
        # W = mu dF/dM
        return float(2.0 * mu * (self.cross @ dual - self.square) / (t * t - self.size(dual) ** 2))


@dataclass(frozen=True, eq=False)
class CoordinateBarrier(AbstractBarrier):
    """-sum_j log(t^2 - M_j^2) for rows (C, p) and A_b (p,) given entry by entry."""

    rows: Floats
    pull: Floats

    @property
    def parameter(self) -> float:
        return 2.0 * len(self.pull)

    def _matrix(self, dual: Floats) -> Floats:
        return np.asarray(dual @ self.rows - self.pull)

    def size(self, dual: Floats) -> float:
        return float(np.abs(self._matrix(dual)).max())

    def at(self, dual: Floats, t: float) -> _Local:
        M = self._matrix(dual)
        room = t * t - M * M
        slope, bend = 2.0 * M / room, 2.0 * (t * t + M * M) / room**2
        cross = -4.0 * t * M / room**2
        first = np.append(self.rows @ slope, -(2.0 * t / room).sum())
        hessian = np.empty((len(first), len(first)))
        hessian[:-1, :-1] = (self.rows * bend) @ self.rows.T
        hessian[-1, :-1] = hessian[:-1, -1] = self.rows @ cross
        hessian[-1, -1] = bend.sum()
        return _Local(first, hessian)

    def further(self, dual: Floats, t: float, mu: float) -> float:
        M = self._matrix(dual)
        return float(mu * (self.pull @ (2.0 * M / (t * t - M * M))))


@dataclass(frozen=True, eq=False)
class SpectralBarrier(AbstractBarrier):
    """-log det [[t I, M], [M', t I]] for rows a_c z_c', a (C, d), z (C, d_z), and a matrix A_b."""

    a: Floats
    z: Floats
    pull: Floats

    @property
    def parameter(self) -> float:
        return float(self.a.shape[1] + self.z.shape[1])

    def _matrix(self, dual: Floats) -> Floats:
        return np.asarray((self.a * dual[:, None]).T @ self.z - self.pull)

    def size(self, dual: Floats) -> float:
        return float(np.linalg.norm(self._matrix(dual), 2))

    def _inverse(self, dual: Floats, t: float) -> Floats:
        M = self._matrix(dual)
        d, d_z = M.shape
        whole = np.block([[t * np.eye(d), M], [M.T, t * np.eye(d_z)]])
        return np.linalg.inv(whole)

    def at(self, dual: Floats, t: float) -> _Local:
        S, d = self._inverse(dual, t), self.a.shape[1]
        S2 = S @ S
        mixed = (self.a @ S[:d, d:]) @ self.z.T
        first = np.append(-2.0 * np.diag(mixed), -np.trace(S))
        hessian = np.empty((len(first), len(first)))
        left, right = self.a @ S[:d, :d] @ self.a.T, self.z @ S[d:, d:] @ self.z.T
        hessian[:-1, :-1] = 2.0 * (left * right + mixed * mixed.T)
        hessian[-1, :-1] = hessian[:-1, -1] = 2.0 * ((self.a @ S2[:d, d:]) * self.z).sum(axis=1)
        hessian[-1, -1] = np.trace(S2)
        return _Local(first, hessian)

    def further(self, dual: Floats, t: float, mu: float) -> float:
        d = self.a.shape[1]
        return float(-2.0 * mu * (self.pull * self._inverse(dual, t)[:d, d:]).sum())


def multipliers(svm: Svm, rows: Ints, pull: Floats, *, reach: float, start: Floats, needed: float) -> Floats | None:
    """(C,) multipliers of the constraints `rows` near the best ones for the least <A_b, W>.

    Args:
        svm, rows: the constraints that bound the set, and which of them get multipliers.
        pull: A_b, in the shape of the weights.
        reach: the norm of the set.
        start: (C,) multipliers >= 0 to begin with.
        needed: the search ends early where the bound exceeds this, or weights of the set show that it cannot.

    Returns:
        None for norms without a barrier here, for weights of several heads and for tokens that may stay level.
    """
    own = svm.constraints
    if not own.plain:
        return None
    powers = rounding.exponent(own.a), rounding.exponent(own.z)
    a, z = np.ldexp(own.a[rows], -powers[0]), np.ldexp(own.queries[rows], -powers[1])
    shape = _barrier(svm.norm, a, z, np.ldexp(pull, -sum(powers)))
    if shape is None:
        return None
    out = np.zeros(len(svm))
    with np.errstate(all="ignore"):
        out[rows] = _follow(shape, float(np.ldexp(reach, sum(powers))), start[rows], needed)
    return out if np.isfinite(out).all() else start


def _barrier(norm: AbstractNorm, a: Floats, z: Floats, pull: Floats) -> AbstractBarrier | None:
    """The barrier of `pull` over the rows a z', or of their diagonals; None for other norms."""
    if norm.euclidean and norm.diagonal:
        return EuclideanBarrier((a * z) @ (a * z).T, (a * z) @ pull, float((pull * pull).sum()))
    if norm.euclidean:
        gram = (a @ a.T) * (z @ z.T)
        return EuclideanBarrier(gram, ((a @ pull) * z).sum(axis=1), float((pull * pull).sum()))
    if norm.sparse and norm.diagonal:
        return CoordinateBarrier(a * z, pull)
    return SpectralBarrier(a, z, pull) if norm.sparse and not norm.entrywise else None


def _follow(shape: AbstractBarrier, reach: float, start: Floats, needed: float) -> Floats:
    """The best multipliers met on the central path from near `start`."""
    dual = start + _INSIDE * max(float(start.mean()), 1e-300)
    t = 1.5 * shape.size(dual)
    order = shape.parameter + len(dual)
    mu = max(reach * t - float(dual.sum()), reach * t * _INSIDE) / order
    best, value = start, -np.inf
    for _ in range(_STEPS):
        local = shape.at(dual, t)
        gradient = mu * local.gradient
        gradient[:-1] -= 1.0 + mu / dual
        gradient[-1] += reach
        hessian = mu * local.hessian
        hessian[np.diag_indices(len(dual))] += mu / dual**2
        try:
            step = -cho_solve(cho_factor(hessian), gradient)
        except (np.linalg.LinAlgError, ValueError):
            break
        decrement = math.sqrt(max(-float(gradient @ step) / mu, 0.0))
        if decrement < _CENTRED:
            gap, other = mu * order, shape.further(dual, t, mu)
            # The weights of a point that is only near the centre are off by a share of their size.
            short = other < needed - 2.0 * _CENTRED * (abs(other) + abs(needed))
            if (value <= needed and short) or gap < _CLOSE * max(value - needed, _CLOSE):
                break
            mu *= _SHRINK
            continue
        # A full step stays in the domain inside Dikin's ellipsoid; beyond, one of length 1/(1 + decrement) does.
        length = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement)
        dual, t = dual + length * step[:-1], t + length * float(step[-1])
        found = float(dual.sum()) - reach * shape.size(dual)
        if found > value:
            best, value = dual, found
    return best


_STEPS: Final = 200

_INSIDE: Final = 1e-3
"""The share of their mean by which multipliers start above zero."""

_CENTRED: Final = 0.02
"""The Newton decrement from which a point counts as a centre."""

_SHRINK: Final = 0.15

_CLOSE: Final = 1e-2
"""The share of what the bound exceeds by, and the least size, that the distance from the optimum is pressed below."""

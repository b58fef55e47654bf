"""Norms of a full W by its singular values, with bounds that hold in exact arithmetic (theory 3.4)."""

import math
from dataclasses import dataclass, field

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.norms.abstract import AbstractNorm
from marginflow.norms.faces import AbstractFace, AlignedMatrices, PinnedMatrices


@dataclass(frozen=True)
class Nuclear(AbstractNorm):
    """The sum of singular values; its dual is the largest."""

    name: str = field(default="nuclear", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=False, init=False)
    sparse: bool = field(default=True, init=False)
    across: float = field(default=1.0, init=False)

    def value(self, W: Floats) -> float:
        return float(_singular_values(W).sum())

    def dual_value(self, M: Floats) -> float:
        return float(_singular_values(M).max(initial=0.0))

    def stretch(self, shape: tuple[int, ...]) -> float:
        return rounding.up(math.sqrt(min(shape)))

    def value_upper(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return _at_scale(rounding.spectral_up(W)[1], scale)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        return _at_scale(rounding.up(rounding.spectral_up(M)[0] + _operator_of_error(E)), scale)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace:
        return AlignedMatrices.of(B, flat)

    def dual_face(self, W: Floats, flat: float) -> AbstractFace:
        return PinnedMatrices.of(W, flat)


@dataclass(frozen=True)
class Operator(AbstractNorm):
    """The largest singular value; its dual is their sum."""

    name: str = field(default="operator", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=False, init=False)
    across: float = field(default=math.inf, init=False)

    def value(self, W: Floats) -> float:
        return float(_singular_values(W).max(initial=0.0))

    def dual_value(self, M: Floats) -> float:
        return float(_singular_values(M).sum())

    def stretch(self, shape: tuple[int, ...]) -> float:
        return 1.0

    def value_upper(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return _at_scale(rounding.spectral_up(W)[0], scale)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        # |E|_* <= sqrt(rank) |E|_F
        spread = math.sqrt(min(M.shape)) * rounding.frobenius_up(E)
        return _at_scale(rounding.up(rounding.spectral_up(M)[1] + spread, 4), scale)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace:
        return PinnedMatrices.of(B, flat)

    def dual_face(self, W: Floats, flat: float) -> AbstractFace:
        return AlignedMatrices.of(W, flat)


@dataclass(frozen=True)
class Frobenius(AbstractNorm):
    """The Euclidean norm of the entries; its own dual."""

    name: str = field(default="frobenius", init=False)
    label: str = field(default="Frobenius", init=False)
    diagonal: bool = field(default=False, init=False)
    entrywise: bool = field(default=True, init=False)
    strictly_convex: bool = field(default=True, init=False)
    euclidean: bool = field(default=True, init=False)
    across: float = field(default=2.0, init=False)

    def value(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return float(np.linalg.norm(W)) * scale

    def dual_value(self, M: Floats) -> float:
        return self.value(M)

    def stretch(self, shape: tuple[int, ...]) -> float:
        return 1.0

    def value_upper(self, W: Floats) -> float:
        return self.dual_upper(W)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        return _at_scale(rounding.up(rounding.frobenius_up(M) + rounding.frobenius_up(E)), scale)


def _scaled(M: Floats) -> tuple[float, Floats]:
    """A power of two and `M` divided by it, largest entry in [1/2, 1), so that squares stay in range."""
    power = rounding.exponent(M)
    return math.ldexp(1.0, power), np.ldexp(M, -power)


def _singular_values(M: Floats) -> Floats:
    scale, M = _scaled(M)
    return np.asarray(np.linalg.svd(M, compute_uv=False)) * scale


def _scaled_pair(M: Floats, error: Floats | None) -> tuple[float, Floats, Floats]:
    """The same for `M` and the bound of its error, zero when None: entries of both below 1."""
    E = np.zeros_like(M) if error is None else error
    power = max((rounding.exponent(X) for X in (M, E) if X.any()), default=0)
    return math.ldexp(1.0, power), np.ldexp(M, -power), np.ldexp(E, -power)


def _at_scale(bound: float, scale: float) -> float:
    """`bound` times a power of two: exact, but rounded upwards where that is below the normal numbers."""
    out = bound * scale
    return out if out >= np.finfo(float).tiny else math.nextafter(out, math.inf)


def _operator_of_error(E: Floats) -> float:
    """|E| <= sqrt(|E|_1 |E|_inf), from row and column sums."""
    columns, rows = float(E.sum(axis=0).max(initial=0.0)), float(E.sum(axis=1).max(initial=0.0))
    return rounding.up(math.sqrt(columns * rows), sum(E.shape) + 4)

"""The norm whose dual is the cut norm: least sum |t_s| of W = sum t_s x_s y_s' over vectors of signs (docs/svm.md)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.norms.abstract import AbstractNorm


LARGEST_SIDE: Final = 20
"""Of the shorter side of W: its 2^19 vectors of signs, up to one sign, are looked at one by one."""

Atoms = tuple[Floats, Floats]
"""(s, d) and (s, d_z) signs x_s and y_s of the matrices x_s y_s'."""


@dataclass(frozen=True)
class Cut(AbstractNorm):
    """min sum |t_s| over W = sum t_s x_s y_s', x_s and y_s vectors of signs; its dual is max x'My over signs.

    Sign descent on K and Q minimises a multiple of it in the limit of great width (docs/theory.md 7.1). Computing the
    dual is NP-hard; here the signs of the shorter side are enumerated, which is exact up to 20.

    Attributes:
        atoms: matrices among which a decomposition of W is looked for; None to find them.
    """

    atoms: Atoms | None = field(default=None, compare=False, repr=False)
    name: str = field(default="cut", init=False)
    label: str = field(default="cut-dual", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=False, init=False)

    def along(self, dual_matrix: Callable[[], Floats]) -> "Cut":
        M = dual_matrix()
        if not (np.isfinite(M).all() and M.any()):
            return replace(self, atoms=(np.zeros((0, M.shape[0])), np.zeros((0, M.shape[1]))))
        return replace(self, atoms=atoms_of(M, _FACE))

    def value(self, W: Floats) -> float:
        return self.value_upper(W)

    def dual_value(self, M: Floats) -> float:
        power = rounding.exponent(M)
        return float(np.ldexp(largest(np.ldexp(M, -power))[0], power))

    def value_upper(self, W: Floats) -> float:
        power = rounding.exponent(W)
        unit = np.ldexp(W, -power)
        t, X, Y = terms(unit, self.atoms)
        # W is the sum and a rest; e_i e_j' has norm 1, so the rest has at most the sum of its entries.
        sums = (X * t[:, None]).T @ Y
        error = rounding.gamma(len(t) + 4) * (np.abs(X * t[:, None]).T @ np.abs(Y) + np.abs(unit))
        rest = rounding.sum_up((np.abs(unit - sums) + error).ravel())
        return _at(rounding.up(rounding.sum_up(t) + rest, 2), power)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        E = np.zeros_like(M) if error is None else error
        power = max((rounding.exponent(x) for x in (M, E) if x.any()), default=0)
        M, E = np.ldexp(M, -power), np.ldexp(E, -power)
        # Every sign pattern is looked at; what each sum may be off by its rounding is below this.
        size = rounding.sum_up(np.abs(M).ravel()) * rounding.gamma(sum(M.shape) + 4)
        return _at(rounding.up(largest(M)[0] + size + rounding.sum_up(E.ravel()), 4), power)


def require_small(shape: tuple[int, ...]) -> None:
    """Raises:
    InputError: both sides of W are longer than can be enumerated.
    """
    if min(shape) > LARGEST_SIDE:
        raise InputError(
            f"cut: got W of {shape[0]} x {shape[1]}; expected at most {LARGEST_SIDE} on the shorter side, whose signs "
            "are enumerated (the norm is NP-hard); use entry-linf, or fewer dimensions"
        )


def largest(M: Floats, most: int = 1, least: float = -np.inf) -> tuple[float, Floats, Floats]:
    """max x'My over signs, and up to `most` pairs (s, d), (s, d_z) of the largest, one for each y, above `least`."""
    require_small(M.shape)
    turned = M.shape[0] < M.shape[1]
    A = M.T if turned else M
    k = A.shape[1]
    found: list[tuple[Floats, Floats]] = []
    for first in range(0, 1 << (k - 1), _CHUNK):
        Y = _signs(np.arange(first, min(first + _CHUNK, 1 << (k - 1))), k)
        size = np.abs(Y @ A.T).sum(axis=1)
        kept = np.argsort(-size, kind="stable")[:most]
        found.append((size[kept], Y[kept]))
    size, Y = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-size, kind="stable")[:most]
    Y = Y[order[size[order] > least]]
    X = np.where(Y @ A.T >= 0.0, 1.0, -1.0)
    return float(size[order[0]]), *((Y, X) if turned else (X, Y))


def atoms_of(M: Floats, flat: float) -> Atoms:
    """The sign pairs with x'My within `flat` of the largest, relative; entries of My that vanish take both signs."""
    top, X, Y = largest(M, _MOST)
    near = np.einsum("sd,dk,sk->s", X, M, Y) >= (1.0 - flat) * top
    X, Y = X[near], Y[near]
    for _ in range(_FLIPS):
        gains = np.abs((Y @ M.T) * X)
        s, i = np.nonzero(gains <= flat * top)
        other = X[s].copy()
        other[np.arange(len(s)), i] *= -1.0
        both = np.concatenate([X, other]), np.concatenate([Y, Y[s]])
        _, kept = np.unique(np.concatenate(both, axis=1), axis=0, return_index=True)
        if len(kept) == len(X) or len(kept) > _MOST:
            break
        X, Y = both[0][kept], both[1][kept]
    return X, Y


def terms(W: Floats, atoms: Atoms | None = None) -> tuple[Floats, Floats, Floats]:
    """t >= 0 and signs with sum t_s x_s y_s' nearly W and sum t small, the signs among `atoms` where given."""
    return _decomposed(W.tobytes(), W.shape) if atoms is None else _program(W, *atoms)[:3]


@lru_cache(maxsize=64)
def _decomposed(data: bytes, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """t >= 0 and signs with sum t_s x_s y_s' nearest to W and sum t least: columns are added until none is missing.

    The next columns are priced at a mean of the dual and of the best so far (smoothing of Wentges), without which the
    dual of a W with few terms jumps about.
    """
    W = np.frombuffer(data).reshape(shape)
    if not W.any():
        return np.zeros(0), np.zeros((0, shape[0])), np.zeros((0, shape[1]))
    _, X, Y = largest(np.sign(W), _PRICED)
    centre, best = np.zeros(shape), 0.0
    while True:
        t, X, Y, M, used = _program(W, X, Y)
        mixed = _SMOOTH * centre + (1.0 - _SMOOTH) * M if best else M
        top, A, B = largest(mixed, _PRICED)
        if float((mixed * W).sum()) / top > best:
            best, centre = float((mixed * W).sum()) / top, mixed / top
        value = float((M * W).sum())
        new = np.einsum("sd,dk,sk->s", A, M, B) > 1.0 + _EXACT
        if not new.any():
            top, A, B = largest(M, _PRICED, 1.0 + _EXACT)
            best, new = max(best, value / top), np.ones(len(A), dtype=bool)
        if value <= best * (1.0 + _EXACT) or not new.any():
            return t, X, Y
        if len(X) > _KEPT:
            cost = 1.0 - np.einsum("sd,dk,sk->s", X, M, Y)
            keep = (cost <= np.sort(cost)[_KEPT // 2]) | used
            X, Y = X[keep], Y[keep]
        X, Y = np.concatenate([X, A[new]]), np.concatenate([Y, B[new]])


def _program(W: Floats, X: Floats, Y: Floats) -> tuple[Floats, Floats, Floats, Floats, np.ndarray]:
    """t >= 0 of least sum t + |W - sum t_s x_s y_s'|_1 over both signs of each pair; the pairs turned accordingly, the
    multipliers of the entries, and which pairs are used."""
    from scipy.optimize import linprog

    columns = (X[:, :, None] * Y[:, None, :]).reshape(len(X), W.size).T
    unit = np.eye(W.size)
    found = linprog(
        np.ones(2 * len(X) + 2 * W.size),
        A_eq=np.hstack([columns, -columns, unit, -unit]),
        b_eq=W.ravel(),
        method="highs-ds",
        options={"presolve": False, "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        return np.zeros(len(X)), X, Y, np.zeros(W.shape), np.zeros(len(X), dtype=bool)
    s = found.x[: len(X)] - found.x[len(X) : 2 * len(X)]
    return np.abs(s), X * np.where(s < 0.0, -1.0, 1.0)[:, None], Y, found.eqlin.marginals.reshape(W.shape), s != 0.0


def _signs(numbers: np.ndarray, k: int) -> Floats:
    """(len, k) vectors of signs, the last one +."""
    return np.asarray(1.0 - 2.0 * ((numbers[:, None] >> np.arange(k)) & 1))


def _at(bound: float, power: int) -> float:
    out = float(np.ldexp(bound, power))
    return out if out >= np.finfo(float).tiny else float(np.nextafter(out, np.inf))


_EXACT: Final = 1e-11
_CHUNK: Final = 1 << 14
_PRICED: Final = 60
_KEPT: Final = 600
_SMOOTH: Final = 0.8

_FACE: Final = 1e-7
"""Relative distance from the largest x'My that counts as none."""

_MOST: Final = 2000
_FLIPS: Final = 8

"""W = diag(k o q): a key and a query per coordinate."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.energy import between_factors, imbalance_of_coordinates
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    Arrays,
    diagonal_basis,
    require_square,
)


@dataclass(frozen=True)
class DiagonalKeyQuery(AbstractParameterization):
    """W = diag(k o q), both trained: k' = g o q, q' = g o k, g = diag G (theory 3.8). Expected: the least l1 norm."""

    word: str = field(default="diag-kq", init=False)
    label: str = field(default="k ∘ q", init=False)
    flow_norm: str = field(default="l1", init=False)
    conserved: str = field(default="k^2 - q^2", init=False)
    diagonal: bool = field(default=True, init=False)
    degree: int = field(default=2, init=False)
    description: str = field(default="diagonal keys and queries k, q", init=False)
    least_energy: float = field(default=2.0, init=False)

    def shapes(self, d: int, d_z: int) -> dict[str, tuple[int, ...]]:
        """k (d,), q (d,); UndefinedError unless d == d_z."""
        require_square(d, d_z)
        return {"k": (d,), "q": (d,)}

    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """beta = k o q."""
        return _Product()

    def norm_bound(self, arrays: Arrays) -> float | None:
        """sqrt(|theta|^4 - (sum |k_j^2 - q_j^2|)^2) / 2."""
        return between_factors(arrays, imbalance_of_coordinates(arrays["k"], arrays["q"]))

    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """k and q in the coordinates that U and V select, 0 elsewhere."""
        k, q = diagonal_basis(U, V, k, q)
        return {"k": k, "q": q}


class _Product(AbstractParameterMap):
    """beta = k o q in the coordinates k +- q = (k0 +- q0) e^(+-b), where b' = g.

    theta is (B, 3, d): b, k0 + q0, k0 - q0; the last two stand still, so that k^2 - q^2 is conserved exactly
    and every coordinate, however small, keeps its relative accuracy.
    """

    def weights(self, theta: Floats) -> Floats:
        plus, minus = _factors(theta)
        return (plus * plus - minus * minus) / 4.0

    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        return _speed(theta) * dtheta[:, 0]

    def vjp(self, theta: Floats, G: Floats) -> Floats:
        # phi'* in the metric of (k, q), which in b is the plain g.
        out = np.zeros_like(theta)
        out[:, 0] = G
        return out

    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        bend = 4.0 * self.weights(theta) * dtheta[:, 0]
        return _Coordinates(a, _speed(theta) + bend / a[:, None])

    def distance(self, theta: Floats, error: Floats) -> Floats:
        return np.asarray(np.abs(error[:, 0]).max(axis=1))

    def drift(self, theta: Floats, start: Floats) -> Floats:
        return np.zeros(len(theta))

    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        return {"k": G * arrays["q"], "q": G * arrays["k"]}

    def product(self, arrays: Arrays) -> Floats:
        return arrays["k"] * arrays["q"]

    descents = descent

    def pack(self, arrays: Arrays) -> Floats:
        k, q = arrays["k"], arrays["q"]
        return np.stack([np.zeros_like(k), k + q, k - q])

    def unpack(self, theta: Floats) -> Arrays:
        plus, minus = _factors(theta[None])
        return {"k": (plus + minus)[0] / 2.0, "q": (plus - minus)[0] / 2.0}


@dataclass(frozen=True, eq=False)
class _Coordinates(AbstractResolvent):
    """b' = g does not depend on b: A0 = a; the weights move at d beta/d b, and that bends."""

    a: Floats
    speed: Floats

    def solve(self, right: Floats) -> Floats:
        return right / self.a[:, None, None]

    def predicted_jvp(self, dtheta: Floats) -> Floats:
        return self.speed * dtheta[:, 0]

    def kernel(self, x: Floats, z: Floats) -> Floats:
        rows = x * z
        return (rows * (self.speed / self.a[:, None])[:, None, :]) @ rows.transpose(0, 2, 1)


def _factors(theta: Floats) -> tuple[Floats, Floats]:
    """k + q and k - q."""
    return theta[:, 1] * np.exp(theta[:, 0]), theta[:, 2] * np.exp(-theta[:, 0])


def _speed(theta: Floats) -> Floats:
    """d beta/d b = k^2 + q^2; its derivative is 4 beta."""
    plus, minus = _factors(theta)
    return (plus * plus + minus * minus) / 2.0

"""A parameterisation from its formula alone: W, its derivative and the adjoint; all else is dense linear algebra.

For parameterisations of one's own that are not worth more: a step costs O(P^2) calls of nothing and O(P^3) of
arithmetic for P parameters. docs/parameterization.md has a whole example, and what to write where that is too slow.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError, UndefinedError
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    Arrays,
    relative,
)


class AbstractDense(AbstractParameterization):
    """To derive from, as a frozen dataclass with `word`, `flow_norm` and `degree` as defaults, and three formulas.

    Methods take and return arrays of one run, without a batch axis. W must be linear or quadratic in the arrays; that
    `derivative` and `adjoint` are what they say is checked before anything is trained.
    """

    conserved = ""
    diagonal = False

    @abstractmethod
    def weights(self, arrays: Arrays) -> Floats:
        """W (d, d_z) of the trained arrays; its diagonal (d,) where `diagonal` is True."""

    @abstractmethod
    def derivative(self, arrays: Arrays, change: Arrays) -> Floats:
        """The change of W to first order when the arrays change by `change`; shaped as W."""

    @abstractmethod
    def adjoint(self, arrays: Arrays, G: Floats) -> Arrays:
        """The arrays A with <A, change> = <G, derivative(arrays, change)> for every change: how G pulls on them."""

    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """phi, from the three formulas.

        Raises:
            InputError: formulas that do not fit each other, with the one that is wrong.
        """
        return _map(self, d, d_z)

    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """Not known of a formula.

        Raises:
            UndefinedError: always.
        """
        raise UndefinedError(f"aligned start: {self.word} does not say one; give a start as init")


@lru_cache(maxsize=64)
def _map(model: AbstractDense, d: int, d_z: int) -> "_DenseMap":
    made = _DenseMap(model, tuple(model.shapes(d, d_z).items()), (d,) if model.diagonal else (d, d_z))
    _check(model, made)
    return made


@dataclass(frozen=True)
class _DenseMap(AbstractParameterMap):
    """theta is (B, P): all arrays, flat, one after the other; `shape` is that of W."""

    model: AbstractDense
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for _, shape in self.shapes)

    def weights(self, theta: Floats) -> Floats:
        return np.stack([np.asarray(self.model.weights(self.unpack(one))) for one in theta])

    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        pairs = zip(theta, dtheta, strict=True)
        return np.stack([np.asarray(self.model.derivative(self.unpack(x), self.unpack(dx))) for x, dx in pairs])

    def vjp(self, theta: Floats, G: Floats) -> Floats:
        pairs = zip(theta, G, strict=True)
        return np.stack([self.pack(self.model.adjoint(self.unpack(x), g)) for x, g in pairs])

    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        bent = theta + dtheta / a[:, None]
        # phi is at most quadratic, so that phi'* G is linear in theta up to a constant: its matrix, column by column.
        at_zero = self.vjp(np.zeros_like(theta), G)
        columns = [self.vjp(np.broadcast_to(e, theta.shape), G) - at_zero for e in np.eye(self.size)]
        A0 = a[:, None, None] * np.eye(self.size) - np.stack(columns, axis=2)
        return _DenseResolvent(self._jacobian(theta), self._jacobian(bent), np.asarray(np.linalg.inv(A0)), self.shape)

    def _jacobian(self, theta: Floats) -> Floats:
        """(B, D, P) of phi, W flat."""
        columns = [self.jvp(theta, np.broadcast_to(e, theta.shape)).reshape(len(theta), -1) for e in np.eye(self.size)]
        return np.stack(columns, axis=2)

    def distance(self, theta: Floats, error: Floats) -> Floats:
        return relative(theta, error)

    def drift(self, theta: Floats, start: Floats) -> Floats:
        return np.zeros(len(theta))

    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        found = self.model.adjoint(arrays, G)
        return {name: np.asarray(found[name], dtype=np.float64) for name, _ in self.shapes}

    def pack(self, arrays: Arrays) -> Floats:
        return np.concatenate([np.asarray(arrays[name], dtype=np.float64).ravel() for name, _ in self.shapes])

    def unpack(self, theta: Floats) -> Arrays:
        out, first = {}, 0
        for name, shape in self.shapes:
            last = first + int(np.prod(shape))
            out[name] = theta[first:last].reshape(shape).copy()
            first = last
        return out


@dataclass(frozen=True, eq=False)
class _DenseResolvent(AbstractResolvent):
    """Everything as matrices: J (B, D, P) at theta and at the predicted point, A0^-1 (B, P, P)."""

    jacobian: Floats
    bent: Floats
    inverse: Floats
    shape: tuple[int, ...]

    def solve(self, right: Floats) -> Floats:
        return np.asarray((self.inverse @ right[..., None])[..., 0])

    def predicted_jvp(self, dtheta: Floats) -> Floats:
        flat = (self.bent @ dtheta[..., None])[..., 0]
        return np.asarray(flat.reshape(len(flat), *self.shape))

    def kernel(self, x: Floats, z: Floats) -> Floats:
        rows = x * z if len(self.shape) == 1 else (x[..., :, None] * z[..., None, :]).reshape(*x.shape[:2], -1)
        seen, pull = rows @ self.bent, rows @ self.jacobian
        return np.asarray(seen @ self.inverse @ pull.transpose(0, 2, 1))


_CHECKED_TO: Final = 1e-7


def _check(model: AbstractDense, made: _DenseMap) -> None:
    """Try the three formulas at random arrays: each against the one before."""
    draw, shape = np.random.default_rng(0), made.shape
    theta, change, other = draw.standard_normal((3, 1, made.size))
    W = made.weights(theta)[0]
    if W.shape != shape or not np.isfinite(W).all():
        raise InputError(f"{model.word}.weights: got shape {W.shape}; expected finite numbers of shape {shape}")
    size = max(float(np.abs(W).max()), 1.0)
    # Exact for linear and quadratic W, and for nothing else in general.
    said = made.jvp(theta, change)[0]
    slope = (made.weights(theta + change)[0] - made.weights(theta - change)[0]) / 2.0
    if said.shape != shape or not np.allclose(said, slope, rtol=0.0, atol=_CHECKED_TO * size):
        raise InputError(
            f"{model.word}.derivative: differs from the difference of weights by {_worst(said, slope):.2g}; "
            "expected the derivative of W, which is linear or quadratic in its arrays"
        )
    bend = made.weights(theta + other)[0] + made.weights(theta - other)[0] - 2.0 * W
    twice = (
        made.weights(2.0 * theta + other)[0] + made.weights(2.0 * theta - other)[0] - 2.0 * made.weights(2.0 * theta)[0]
    )
    if not np.allclose(bend, twice, rtol=0.0, atol=_CHECKED_TO * size):
        raise InputError(f"{model.word}.weights: got a W that is neither linear nor quadratic; expected one of these")
    G = draw.standard_normal(shape)
    pulled = float((made.vjp(theta, G[None])[0] * change[0]).sum())
    if abs(pulled - float((G * said).sum())) > _CHECKED_TO * size * made.size:
        raise InputError(
            f"{model.word}.adjoint: <adjoint(G), change> is {pulled:.6g} and <G, derivative(change)> "
            f"{float((G * said).sum()):.6g}; expected the same number"
        )
    if not np.allclose(made.weights(3.0 * theta)[0], 3.0**model.degree * W, rtol=0.0, atol=9.0 * _CHECKED_TO * size):
        raise InputError(f"{model.word}.degree: got {model.degree}; W(3 x) is not 3^{model.degree} W(x)")


def _worst(a: Floats, b: Floats) -> float:
    return float(np.abs(a - b).max()) if a.shape == b.shape else np.inf

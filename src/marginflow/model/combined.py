"""One trained matrix W, or one trained diagonal beta: the weights are the parameters."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    Arrays,
    basis,
    diagonal_basis,
    relative,
    require_square,
)
from marginflow.model.stage import AbstractStage
from marginflow.model.token_rows import TokenRows


@dataclass(frozen=True)
class Combined(AbstractParameterization):
    """W itself is trained: W' = G (theory 3.8). Expected of the flow: the least Frobenius norm."""

    word: str = field(default="w", init=False)
    label: str = field(default="W", init=False)
    flow_norm: str = field(default="frobenius", init=False)
    conserved: str = field(default="", init=False)
    diagonal: bool = field(default=False, init=False)
    degree: int = field(default=1, init=False)
    description: str = field(default="one combined matrix W", init=False)
    least_energy: float = field(default=1.0, init=False)

    def shapes(self, d: int, d_z: int) -> dict[str, tuple[int, ...]]:
        """W (d, d_z)."""
        return {"W": (d, d_z)}

    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """The identity."""
        return Identity("W", False)

    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """W = U diag(k q) V'."""
        U, V, k, q = basis(U, V, k, q)
        return {"W": (U * (k * q)) @ V.T}


@dataclass(frozen=True)
class Diagonal(AbstractParameterization):
    """W = diag(beta), beta trained: beta' = diag G (theory 3.2). Expected: the least Euclidean norm of beta."""

    word: str = field(default="diag", init=False)
    label: str = field(default="β", init=False)
    flow_norm: str = field(default="l2", init=False)
    conserved: str = field(default="", init=False)
    diagonal: bool = field(default=True, init=False)
    degree: int = field(default=1, init=False)
    description: str = field(default="one diagonal β", init=False)
    least_energy: float = field(default=1.0, init=False)

    def shapes(self, d: int, d_z: int) -> dict[str, tuple[int, ...]]:
        """beta (d,); UndefinedError unless d == d_z."""
        require_square(d, d_z)
        return {"beta": (d,)}

    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """The identity."""
        return Identity("beta", True)

    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """beta = k q in the coordinates that U and V select."""
        k, q = diagonal_basis(U, V, k, q)
        return {"beta": k * q}


@dataclass(frozen=True)
class Identity(AbstractParameterMap):
    """phi(theta) = theta, for weights called `name`."""

    name: str
    diagonal: bool
    linear: ClassVar[bool] = True
    staged: ClassVar[bool] = True

    def weights(self, theta: Floats) -> Floats:
        return theta

    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        return dtheta

    def vjp(self, theta: Floats, G: Floats) -> Floats:
        return G

    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        return _Scalar(a, self.diagonal)

    def stage(self, theta: Floats, G: Floats, a: float) -> AbstractStage | None:
        return _ScalarStage(a, self.diagonal)

    def distance(self, theta: Floats, error: Floats) -> Floats:
        return relative(theta, error)

    def drift(self, theta: Floats, start: Floats) -> Floats:
        return np.zeros(len(theta))

    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        return {self.name: G}

    def product(self, arrays: Arrays) -> Floats:
        return arrays[self.name]

    descents = descent

    def pack(self, arrays: Arrays) -> Floats:
        return arrays[self.name]

    def unpack(self, theta: Floats) -> Arrays:
        return {self.name: theta.copy()}


@dataclass(frozen=True, eq=False)
class _Scalar(AbstractResolvent):
    """A0 = a: theta' does not depend on theta."""

    a: Floats
    diagonal: bool
    symmetric: ClassVar[bool] = True

    def solve(self, right: Floats) -> Floats:
        return right / self.a.reshape(-1, *(1,) * (right.ndim - 1))

    def predicted_jvp(self, dtheta: Floats) -> Floats:
        return dtheta

    def kernel(self, x: Floats, z: Floats) -> Floats:
        if self.diagonal:
            rows = x * z
            gram = rows @ rows.transpose(0, 2, 1)
        else:
            gram = (x @ x.transpose(0, 2, 1)) * (z @ z.transpose(0, 2, 1))
        return gram / self.a[:, None, None]


@dataclass(frozen=True, eq=False)
class _ScalarStage(AbstractStage):
    """A0 = a: theta' does not depend on theta."""

    a: float
    diagonal: bool

    def solve(self, right: Floats) -> Floats:
        return right / self.a

    def at(self, theta: Floats) -> "_ScalarStage":
        return self

    def has_gram_of(self, other: AbstractStage) -> bool:
        return isinstance(other, _ScalarStage) and other.a == self.a

    def gram(self, rows: TokenRows, out: Floats) -> None:
        if self.diagonal:
            out[:] = self.coupling(rows, rows)
            return
        x, of, along = rows.x, rows.of, (rows.z @ rows.z.T) / self.a
        for block in rows.blocks:
            upto = slice(block.stop)
            part = x[block] @ x[upto].T
            part *= np.take(along[of[block]], of[upto], axis=1)
            out[block, upto] = part

    def coupling(self, rows: TokenRows, columns: TokenRows) -> Floats:
        if self.diagonal:
            return np.asarray((rows.x * rows.z[rows.of]) @ (columns.x * columns.z[columns.of]).T / self.a)
        return np.asarray(rows.x @ columns.x.T * ((rows.z @ columns.z.T) / self.a)[rows.of][:, columns.of])

    def own(self, rows: TokenRows) -> Floats:
        features = (rows.x * rows.z[rows.of]) ** 2 if self.diagonal else rows.x**2
        along = 1.0 if self.diagonal else (rows.z**2).sum(axis=1)[rows.of]
        return np.asarray(features.sum(axis=1) * along / self.a)

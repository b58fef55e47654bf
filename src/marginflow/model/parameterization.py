"""What a parameterisation is: how the weights are made of parameters, and all that a step needs of it.

W = phi(theta) with phi linear or quadratic; the flow is theta' = phi'(theta)* G, G the pull of the loss on W.
docs/parameterization.md shows how to add one; the formulas are derived in docs/flow.md.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, as_floats
from marginflow.errors import InputError, UndefinedError
from marginflow.model.energy import squares
from marginflow.model.stage import AbstractStage


Arrays = dict[str, Floats]


class AbstractResolvent(ABC):
    """The linear algebra of one step at fixed theta, G and a = 1 / (gamma h), with A0 = a - d theta'/d theta.

    `symmetric` says that `kernel` is so for every x and z, and positive semidefinite: a Cholesky factor then does.
    """

    symmetric: ClassVar[bool] = False

    @abstractmethod
    def solve(self, right: Floats) -> Floats:
        """A0^-1 `right`, both shaped as theta."""

    @abstractmethod
    def predicted_jvp(self, dtheta: Floats) -> Floats:
        """phi' at the linearly predicted point theta + theta'/a, applied to `dtheta` (B, ...), shaped as the weights.

        That is (phi'(theta) + phi''(theta)[theta'] / a) dtheta, exact because phi is at most quadratic.
        """

    @abstractmethod
    def kernel(self, x: Floats, z: Floats) -> Floats:
        """(B, A, A) entry (c, e): the logit of token x_c, query z_c in `predicted_jvp`(A0^-1 phi'(theta)* x_e z_e').

        `x` is (B or 1, A, d) and `z` (B or 1, A, d_z); diagonal weights see x * z.
        """


class AbstractParameterMap(ABC):
    """phi for tokens of one size; every array has the runs of a batch as its first axis.

    `linear` says that phi is, `staged` that `stage` is written.
    """

    linear: ClassVar[bool] = False
    staged: ClassVar[bool] = False

    @abstractmethod
    def weights(self, theta: Floats) -> Floats:
        """phi(theta): (B, d, d_z), or the diagonal (B, d)."""

    @abstractmethod
    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        """phi'(theta) dtheta, shaped as the weights."""

    @abstractmethod
    def vjp(self, theta: Floats, G: Floats) -> Floats:
        """theta' = phi'(theta)* G, shaped as theta; linear in G."""

    @abstractmethod
    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        """The linear algebra of a step from theta, where theta' is `dtheta`; `a` is (B,)."""

    def stage(self, theta: Floats, G: Floats, a: float) -> AbstractStage | None:
        """The linear algebra of an implicit stage of one run, `theta` and `G` (1, ...).

        None where A0 is not positive definite, so that no solution is the one that grew from 1/a = 0; always unless
        `staged`.
        """
        return None

    @abstractmethod
    def distance(self, theta: Floats, error: Floats) -> Floats:
        """(B,) the size of a small change `error` of theta relative to the parameters."""

    @abstractmethod
    def drift(self, theta: Floats, start: Floats) -> Floats:
        """(B,) |C(theta) - C(start)| / |theta|^2 for the conserved quantity C; 0 if it is exact or absent."""

    @abstractmethod
    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        """Minus the gradient in the trained arrays of one run, where the weights are pulled by G (no batch axis)."""

    def product(self, arrays: Arrays) -> Floats:
        """The weights of a batch of runs, whose arrays have the runs as their first axis."""
        return self.weights(np.stack([self.pack(run) for run in _runs(arrays)]))

    def descents(self, arrays: Arrays, G: Floats) -> Arrays:
        """`descent` of every run of a batch."""
        each = [self.descent(run, g) for run, g in zip(_runs(arrays), G, strict=True)]
        return {name: np.stack([one[name] for one in each]) for name in arrays}

    @abstractmethod
    def pack(self, arrays: Arrays) -> Floats:
        """theta of one run (no batch axis) from arrays of the right shapes."""

    @abstractmethod
    def unpack(self, theta: Floats) -> Arrays:
        """The named arrays of one run."""


class AbstractParameterization(ABC):
    """What the user names: which arrays are trained, how they start, and what to expect of their flow."""

    @property
    @abstractmethod
    def word(self) -> str:
        """What the command line calls it."""

    @property
    @abstractmethod
    def flow_norm(self) -> str:
        """The norm of W (of its diagonal, for diagonal weights) that its flow is expected to minimise."""

    @property
    @abstractmethod
    def conserved(self) -> str:
        """What the flow conserves, for people; "" for nothing."""

    @property
    @abstractmethod
    def diagonal(self) -> bool:
        """True when W = diag(beta)."""

    @property
    @abstractmethod
    def degree(self) -> int:
        """phi(c theta) = c^degree phi(theta)."""

    @property
    def label(self) -> str:
        """Its symbols, for the end of a curve: "K, Q"."""
        return self.word

    @property
    def description(self) -> str:
        """What is trained, in a sentence: "separate keys and queries K, Q"."""
        return f"the parameterisation {self.word}"

    @property
    def least_energy(self) -> float | None:
        """c where the least |theta|^2 of all theta with phi(theta) = W is c N(W)^(2/degree), N its `norm`.

        It sets the constant of the late law (theory 5.1). None where that is not known: no law is then predicted.
        """
        return None

    def norm_bound(self, arrays: Arrays) -> float | None:
        """What N(W) does not exceed, and what over the margin the flow never raises (docs/attractors.md 2), rounded up.

        By default (|theta|^2 / c)^(degree / 2), c the `least_energy`. None where that is not known: no run is then
        called trapped.
        """
        energy = self.least_energy
        if energy is None:
            return None
        return rounding.up(float((squares(arrays) / energy) ** (self.degree / 2.0)), 32)

    @abstractmethod
    def shapes(self, d: int, d_z: int) -> dict[str, tuple[int, ...]]:
        """The trained arrays by name; the order is that of an `init` tuple."""

    @abstractmethod
    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """phi for tokens in `d` and queries in `d_z` dimensions."""

    @abstractmethod
    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """The start U diag(k q) V' with singular directions U (d, r), V (d_z, r) and factors k, q (r,)."""

    def sized(self, d: int, d_z: int, init: Any = None) -> Self:
        """The same with everything in numbers that is left open until dimensions and start are known."""
        return self

    def rank_cap(self, d: int, d_z: int) -> int:
        """The rank that W cannot exceed."""
        return min(d, d_z)

    def too_narrow(self, d: int, d_z: int, rank: int | None) -> bool:
        """Whether W cannot have the `rank` of an SVM solution, or may not where that is unknown (None)."""
        cap = self.rank_cap(d, d_z)
        return cap < min(d, d_z) and (rank is None or cap < rank)

    def draw(self, d: int, d_z: int, rng: np.random.Generator, scale: float) -> Arrays:
        """A generic start: `scale` times standard normal entries, drawn in the order of `shapes`."""
        return {name: scale * rng.standard_normal(s) for name, s in self.shapes(d, d_z).items()}

    def start(self, arrays: Any, d: int, d_z: int) -> Arrays:
        """Check a start given by the user: a tuple in the order of `shapes`, a dict, or one bare array.

        Raises:
            InputError: missing or unknown names, wrong shapes, numbers that are not finite, or all zero where
                the flow of this parameterisation stands still.
        """
        shapes = self.shapes(d, d_z)
        listing = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        if isinstance(arrays, dict):
            named = arrays
        elif isinstance(arrays, tuple | list) and len(shapes) > 1:
            if len(arrays) != len(shapes):
                raise InputError(f"init: got {len(arrays)} arrays; expected {listing}")
            named = dict(zip(shapes, arrays, strict=True))
        elif len(shapes) == 1:
            single = arrays[0] if isinstance(arrays, tuple) and len(arrays) == 1 else arrays
            named = {name: single for name in shapes}
        else:
            raise InputError(f"init: got one array; expected {listing}")
        if set(named) != set(shapes):
            raise InputError(f"init: got arrays {sorted(map(str, named))}; expected {listing}")
        out = {name: as_floats(f"init {name}", named[name]) for name in shapes}
        for name, shape in shapes.items():
            if out[name].shape != shape:
                raise InputError(f"init {name}: got shape {out[name].shape}; expected {shape}")
        if self.degree > 1 and not any(array.any() for array in out.values()):
            raise InputError(
                f"init: {' and '.join(shapes)} are all zero, a saddle where the flow stands still; "
                "give a start with a nonzero entry"
            )
        return out


def _runs(arrays: Arrays) -> list[Arrays]:
    """The arrays of each run of a batch."""
    count = len(next(iter(arrays.values())))
    return [{name: array[b] for name, array in arrays.items()} for b in range(count)]


def relative(theta: Floats, error: Floats) -> Floats:
    """(B,) |error| / |theta|, Euclidean."""
    axes = tuple(range(1, theta.ndim))
    size = (theta * theta).sum(axis=axes)
    if (size < 1e-200).any():
        # Sizes of 1e-150, whose squares underflow, are as good as any other.
        largest = np.abs(theta).max(axis=axes, keepdims=True)
        largest = np.where((largest > 0.0) & (largest < 1e-100), largest, 1.0)
        with np.errstate(over="ignore"):
            theta, error = theta / largest, np.clip(error / largest, -1e150, 1e150)
        size = (theta * theta).sum(axis=axes)
    return np.sqrt((error * error).sum(axis=axes) / np.maximum(size, 1e-300))


def require_square(d: int, d_z: int) -> None:
    """Diagonal weights need tokens and queries of one dimension."""
    if d != d_z:
        raise UndefinedError(
            f"diagonal weights: got tokens in {d} and queries in {d_z} dimensions; "
            "expected the same number; use W or (K, Q)"
        )


def basis(U: Any, V: Any, k: Any, q: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Check the arrays of an aligned start."""
    U, V = as_floats("U", U, 2), as_floats("V", V, 2)
    k, q = as_floats("k", k, 1), as_floats("q", q, 1)
    if not U.shape[1] == V.shape[1] == len(k) == len(q):
        raise InputError(
            f"aligned start: got {U.shape[1]} columns of U, {V.shape[1]} of V, {len(k)} factors k and {len(q)} q; "
            "expected one number of each"
        )
    for name, M in (("U", U), ("V", V)):
        if not np.allclose(M.T @ M, np.eye(M.shape[1]), atol=1e-8):
            raise InputError(f"{name}: the columns are not orthonormal; take them from an SVD or a QR")
    return U, V, k, q


def diagonal_basis(U: Any, V: Any, k: Any, q: Any) -> tuple[Floats, Floats]:
    """The factors of an aligned start of diagonal weights: U and V must be columns of the identity, the same."""
    U, V, k, q = basis(U, V, k, q)
    if U.shape != V.shape or not np.array_equal(U, V) or not np.array_equal(U, U.round()):
        raise InputError("aligned start of diagonal weights: expected U = V made of columns of the identity")
    return np.asarray(np.abs(U) @ k), np.asarray(np.abs(U) @ q)

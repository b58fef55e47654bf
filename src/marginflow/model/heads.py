"""One block of parameters per head: a parameterisation's own map, applied to every head's (docs/flow.md 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    Arrays,
)
from marginflow.problem.problem import Problem


def map_of(parameterization: AbstractParameterization, problem: Problem) -> AbstractParameterMap:
    """phi for `problem`: that of the parameterisation for one head, else `H` blocks of it side by side."""
    one = parameterization.map(problem.d, problem.d_z)
    return one if problem.counts[1] == 1 else PerHead(one, problem.counts[1])


def with_heads_apart(objective_map: AbstractParameterMap, arrays: Arrays) -> tuple[AbstractParameterMap, Arrays]:
    """A map and its arrays (B, ...) or (B, H, ...), each head's arrays under names of their own."""
    if not isinstance(objective_map, PerHead):
        return objective_map, arrays
    apart = HeadsApart(objective_map.one, objective_map.H)
    return apart, apart.split(arrays)


def of_head(problem: Problem, h: int) -> tuple[Ints, Problem]:
    """The rows of head `h` (n_h,), and they alone as a problem, each an output of its own."""
    rows = np.flatnonzero(problem.head == h)
    return rows, Problem(problem.X[rows], problem.z[rows], problem.scores[rows], mask=problem.mask[rows])


def sized(parameterization: AbstractParameterization, problem: Problem, init: Any = None) -> AbstractParameterization:
    """The same with everything in numbers; `init` is a start of the user's, whose first head says what is left open."""
    if problem.counts[1] > 1 and init is not None:
        listed = init if isinstance(init, dict | tuple | list) else [init]
        named = listed.items() if isinstance(listed, dict) else enumerate(listed)
        first = {name: array[0] if _shape(array) and len(array) else array for name, array in named}
        init = first if isinstance(init, dict) else tuple(first.values())
    return parameterization.sized(problem.d, problem.d_z, init)


def draw(
    parameterization: AbstractParameterization, problem: Problem, rng: np.random.Generator, scale: float
) -> Arrays:
    """A generic start, head after head: by name, stacked (H, ...) where there are several heads."""
    each = [parameterization.draw(problem.d, problem.d_z, rng, scale) for _ in range(problem.counts[1])]
    return each[0] if problem.counts[1] == 1 else {name: np.stack([one[name] for one in each]) for name in each[0]}


def start(parameterization: AbstractParameterization, problem: Problem, arrays: Any) -> Arrays:
    """Check a start given by the user: arrays as for one head, each with the heads as its first axis if there are more.

    Raises:
        InputError: as `AbstractParameterization.start`, and arrays that are not one per head.
    """
    H = problem.counts[1]
    if H == 1:
        return parameterization.start(arrays, problem.d, problem.d_z)
    names = list(parameterization.shapes(problem.d, problem.d_z))
    if isinstance(arrays, dict):
        by_name = arrays
    elif isinstance(arrays, tuple | list) and len(names) > 1:
        if len(arrays) != len(names):
            raise InputError(f"init: got {len(arrays)} arrays; expected {', '.join(names)}, each with {H} heads first")
        by_name = dict(zip(names, arrays, strict=True))
    else:
        by_name = {names[0]: arrays[0] if isinstance(arrays, tuple) and len(arrays) == 1 else arrays}
    for name, array in by_name.items():
        shape = _shape(array)
        if not shape or shape[0] != H:
            raise InputError(
                f"init {name}: got shape {shape}; expected {H} heads as the first axis, one block per head"
            )
    each = [
        parameterization.start({name: array[h] for name, array in by_name.items()}, problem.d, problem.d_z)
        for h in range(H)
    ]
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def _shape(array: Any) -> tuple[int, ...]:
    """Its shape; of lists of different lengths the first axis alone."""
    try:
        return np.shape(array)
    except ValueError:
        return (len(array),)


@dataclass(frozen=True, eq=False)
class PerHead(AbstractParameterMap):
    """phi of every head: theta is (B, H, ...), weights (B, H, d, d_z); heads meet in the loss only.

    The heads of all runs are one batch of `one`, so that whatever it does costs as many array operations as for one.
    """

    one: AbstractParameterMap
    H: int

    def weights(self, theta: Floats) -> Floats:
        return self._unfold(self.one.weights(_fold(theta)))

    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        return self._unfold(self.one.jvp(_fold(theta), _fold(dtheta)))

    def vjp(self, theta: Floats, G: Floats) -> Floats:
        return self._unfold(self.one.vjp(_fold(theta), _fold(G)))

    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        own = self.one.resolvent(_fold(theta), _fold(dtheta), _fold(G), np.repeat(a, self.H))
        return _PerHeadResolvent(own, len(theta), self.H)

    def distance(self, theta: Floats, error: Floats) -> Floats:
        """That of the head that is farthest off, each relative to its own parameters."""
        return np.asarray(self._unfold(self.one.distance(_fold(theta), _fold(error))).max(axis=1))

    def drift(self, theta: Floats, start: Floats) -> Floats:
        """Of the head whose conserved quantity has drifted the most."""
        return np.asarray(self._unfold(self.one.drift(_fold(theta), _fold(start))).max(axis=1))

    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        return self.one.descents(arrays, G)

    def product(self, arrays: Arrays) -> Floats:
        return self._unfold(self.one.product({name: _fold(array) for name, array in arrays.items()}))

    def descents(self, arrays: Arrays, G: Floats) -> Arrays:
        each = self.one.descents({name: _fold(array) for name, array in arrays.items()}, _fold(G))
        return {name: self._unfold(array) for name, array in each.items()}

    def pack(self, arrays: Arrays) -> Floats:
        return np.stack([self.one.pack({name: array[h] for name, array in arrays.items()}) for h in range(self.H)])

    def unpack(self, theta: Floats) -> Arrays:
        each = [self.one.unpack(theta[h]) for h in range(self.H)]
        return {name: np.stack([one[name] for one in each]) for name in each[0]}

    def _unfold(self, v: Floats) -> Floats:
        return v.reshape(-1, self.H, *v.shape[1:])


@dataclass(frozen=True, eq=False)
class HeadsApart(PerHead):
    """The same with an array of its own for every head, K[0], K[1], ...: what rules that treat array by array step in.

    Arrays are (B, ...) here as of one head; theta and weights are those of `PerHead`.
    """

    def split(self, arrays: Arrays) -> Arrays:
        """Arrays (B, H, ...) by name as arrays (B, ...) by name and head."""
        return {f"{name}[{h}]": array[:, h] for name, array in arrays.items() for h in range(self.H)}

    def joined(self, arrays: Arrays) -> Arrays:
        """The way back."""
        names = dict.fromkeys(name.rpartition("[")[0] for name in arrays)
        return {name: np.stack([arrays[f"{name}[{h}]"] for h in range(self.H)], axis=1) for name in names}

    def product(self, arrays: Arrays) -> Floats:
        return super().product(self.joined(arrays))

    def descents(self, arrays: Arrays, G: Floats) -> Arrays:
        return self.split(super().descents(self.joined(arrays), G))

    def pack(self, arrays: Arrays) -> Floats:
        whole = self.joined({name: array[None] for name, array in arrays.items()})
        return super().pack({name: array[0] for name, array in whole.items()})


@dataclass(frozen=True, eq=False)
class _PerHeadResolvent(AbstractResolvent):
    """The resolvents of all heads of all runs as one batch; they do not mix."""

    own: AbstractResolvent
    B: int
    H: int

    def solve(self, right: Floats) -> Floats:
        return self.own.solve(_fold(right)).reshape(right.shape)

    def predicted_jvp(self, dtheta: Floats) -> Floats:
        out = self.own.predicted_jvp(_fold(dtheta))
        return out.reshape(self.B, self.H, *out.shape[1:])

    def kernel(self, x: Floats, z: Floats) -> Floats:
        """(B, H a, H a) for tokens (B, H a, d), `a` of each head in turn; 0 between heads."""
        B, H, A = self.B, self.H, x.shape[1]
        a = A // H
        of_heads = [np.broadcast_to(v, (B, A, v.shape[2])).reshape(B * H, a, v.shape[2]) for v in (x, z)]
        own = self.own.kernel(*of_heads)
        out = np.zeros((B, H, a, H, a))
        heads = np.arange(H)
        out[:, heads, :, heads] = own.reshape(B, H, a, a).transpose(1, 0, 2, 3)
        return out.reshape(B, A, A)


def _fold(v: Floats) -> Floats:
    """Heads of runs as runs: (B, H, ...) to (B H, ...)."""
    return v.reshape(v.shape[0] * v.shape[1], *v.shape[2:])

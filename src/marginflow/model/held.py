"""Margins that a flow does not change: equalities with free multipliers (docs/flow.md 12)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.model.parameterization import AbstractParameterMap
from marginflow.problem.constraints import Constraints


SMALL: Final = 1e-3
"""Weights below this part of the largest take no more of a correction than one of it."""


@dataclass(frozen=True, eq=False)
class Held:
    """`r` equalities A_e, linearly independent, with <A_e, dW> = 0 along the flow; each is about the W of one head.

    Attributes:
        equal: these constraints.
        diagonal: the weights are diagonals.
    """

    equal: Constraints
    diagonal: bool

    def __len__(self) -> int:
        return len(self.equal)

    @cached_property
    def rows(self) -> Floats:
        """(r, ...) the A_e, shaped as the weights of a run: (d, d_z) or (d,), of several heads (H, ...)."""
        d, d_z = self.equal.shape
        heads = () if self.equal.heads == 1 else (self.equal.heads,)
        shape = (*heads, d) if self.diagonal else (*heads, d, d_z)
        return self.equal.vectors(self.diagonal).reshape(len(self), *shape)

    def beside(self, x: Floats, z: Floats) -> tuple[Floats, Floats, Ints]:
        """Tokens (B, A, d) and queries, A/H of each head in turn, with the rows after those of their head.

        Every head gets as many, missing ones 0. Also where the A and then the r rows stand among all.
        """
        head, heads, A = self.equal.head, self.equal.heads, x.shape[1]
        count = np.bincount(head, minlength=heads)
        each, most = A // heads, int(count.max())
        place = np.empty(A + len(self), dtype=np.intp)
        place[:A] = np.arange(A) + most * np.repeat(np.arange(heads), each)
        for h in range(heads):
            place[A:][head == h] = (h + 1) * each + h * most + np.arange(count[h])
        out = []
        for v, more in ((x, self.equal.a), (z, self.equal.queries)):
            whole = np.zeros((len(v), heads * (each + most), v.shape[2]))
            whole[:, place[:A]], whole[:, place[A:]] = v, more
            out.append(whole)
        return out[0], out[1], place

    def along(self, weights: Floats) -> Floats:
        """(B, r) the margins <A_e, W> of weights (B, ...)."""
        return np.asarray(weights.reshape(len(weights), -1) @ self.rows.reshape(len(self), -1).T)

    def pull(self, multipliers: Floats) -> Floats:
        """(B, ...) sum_e mu_e A_e of `multipliers` (B, r)."""
        out = multipliers @ self.rows.reshape(len(self), -1)
        return np.asarray(out.reshape(len(multipliers), *self.rows.shape[1:]))

    def gram(self, map: AbstractParameterMap, theta: Floats) -> Floats:
        """(B, r, r) entry (e, g): how fast margin e grows when A_g pulls, at theta (B, ...)."""
        B, r = len(theta), len(self)
        each = np.repeat(theta, r, axis=0)
        moved = map.jvp(each, map.vjp(each, np.tile(self.rows, (B, *(1,) * (self.rows.ndim - 1)))))
        return self.along(moved).reshape(B, r, r).transpose(0, 2, 1)

    def multipliers(self, map: AbstractParameterMap, theta: Floats, G: Floats) -> Floats:
        """(B, r) the mu with which the pull G + sum_e mu_e A_e moves none of the margins."""
        drift = self.along(map.jvp(theta, map.vjp(theta, G)))
        return -_solved(self.gram(map, theta), drift)

    def restored(self, map: AbstractParameterMap, theta: Floats, level: Floats) -> Floats:
        """`theta` (B, ...) moved by three steps of Newton's, each the least, so that the margins are `level` (r,)."""
        for _ in range(3):
            off = level - self.along(map.weights(theta))
            theta = theta + map.vjp(theta, self.pull(_solved(self.gram(map, theta), off)))
        # Elsewhere a parameter is not a weight, and the product of two rounds anew.
        return self.rounded(theta, level) if np.shares_memory(map.weights(theta), theta) else theta

    def rounded(self, weights: Floats, level: Floats) -> Floats:
        """`weights` (B, ...) moved in their last places so that the margins, in exact arithmetic, come near `level`.

        One unit of the last place of the largest weight moves a margin by more than it may be off, one of a small
        weight by less: corrections are shared out by 1/weight^2, and what the large ones round away the small ones make
        up for in the next round, until that no longer halves what is left.
        """
        out = weights.copy()
        A = self.rows.reshape(len(self), -1)
        for b, W in enumerate(weights):
            best, least = W, np.inf
            while True:
                off = level - self.equal.cancelling_margins(W, self.diagonal)
                left = float(np.abs(off).max())
                if not left < 0.5 * least:
                    break
                best, least = W, left
                size = np.abs(W).ravel()
                B = A / np.maximum(size, SMALL * size.max()) ** 2
                W = W + (B.T @ _solved((B @ A.T)[None], off[None])[0]).reshape(W.shape)
            out[b] = best
        return out


def _solved(gram: Floats, right: Floats) -> Floats:
    """(B, r) gram^-1 right; of a singular one, as where a width is too small for all margins, the least squares."""
    try:
        return np.asarray(np.linalg.solve(gram, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(gram, hermitian=True) @ right[..., None])[..., 0])

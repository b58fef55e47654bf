"""A batch of problems as arrays, and the two linear maps between weights and logits (theory 3.1, 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.model.outputs import Outputs
from marginflow.problem.problem import Problem


LARGEST_ROWS: Final = 1_000_000
"""Entries up to which x (x) z is kept per token, so that both maps are one matrix product."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """`P` problems of one shape: one for each of `B` runs, or a single one that all runs share.

    Attributes:
        X: (P, n, T, d) tokens; padding is zero.
        Z: (P, n, d_z) queries.
        scores: (P, n, T) scores; padding is zero.
        mask: (P, n, T) True where a token exists.
        rows: (P, n T, D) the gradient of every logit in the weights: x_il (x) z_i with D = d d_z, or x_il * z_i
            with D = d for diagonal weights; None when it would be too large.
        diagonal: the weights are (B, d), not (B, d, d_z).
        outputs: which rows add up to which output; None where each has its own.
        by_head: of several heads, each head's rows with their own `Tokens`; empty for one head. Weights and `adjoint`
            then have the heads as their second axis.
    """

    X: Floats
    Z: Floats
    scores: Floats
    mask: Bools
    rows: Floats | None
    diagonal: bool
    outputs: Outputs | None = None
    by_head: tuple[tuple[Ints, "Tokens"], ...] = ()

    @classmethod
    def of(cls, problems: Sequence[Problem], *, diagonal: bool) -> "Tokens":
        """Stack `problems`, which have one shape, and the same outputs and heads."""
        X = np.stack([p.X for p in problems])
        Z = np.stack([p.z for p in problems])
        scores = np.stack([p.scores for p in problems])
        mask = np.stack([p.mask for p in problems])
        first = problems[0]
        whole = cls(X, Z, scores, mask, None, diagonal, Outputs.of(first))
        return whole._split(first.head, first.counts[1])

    @classmethod
    def of_arrays(
        cls, X: Floats, Z: Floats, scores: Floats, mask: Bools, *, diagonal: bool, head: Ints, heads: int
    ) -> "Tokens":
        """One problem, an output a row, that all runs share: `X` (n, T, d), `Z` (n, d_z), (n, T); `head` (n,)."""
        return cls(X[None], Z[None], scores[None], mask[None], None, diagonal)._split(head, heads)

    def _split(self, head: Ints, heads: int) -> "Tokens":
        """These with `rows`, of one head; with `by_head`, of several."""
        if heads == 1:
            return replace(self, rows=_rows(self.X, self.Z, self.diagonal))
        parts = []
        for h in range(heads):
            own = np.flatnonzero(head == h)
            x, z, rows = self.X[:, own], self.Z[:, own], _rows(self.X[:, own], self.Z[:, own], self.diagonal)
            parts.append((own, Tokens(x, z, self.scores[:, own], self.mask[:, own], rows, self.diagonal)))
        return replace(self, by_head=tuple(parts))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, T)."""
        return self.X.shape[1], self.X.shape[2]

    @property
    def shared(self) -> bool:
        """True when every run of the batch has the same problem."""
        return len(self.X) == 1

    def keep(self, runs: Bools) -> "Tokens":
        """The problems of the runs in `runs` (B,)."""
        if self.shared:
            return self
        rows = None if self.rows is None else self.rows[runs]
        by_head = tuple((own, part.keep(runs)) for own, part in self.by_head)
        X, Z, scores, mask = self.X[runs], self.Z[runs], self.scores[runs], self.mask[runs]
        return replace(self, X=X, Z=Z, scores=scores, mask=mask, rows=rows, by_head=by_head)

    def logits(self, dW: Floats) -> Floats:
        """(B, n, T) the logits x'dW z of weights (B, d, d_z), or (B, d) for diagonal ones; (B, H, ...) for heads."""
        B = len(dW)
        n, T = self.shape
        if self.by_head:
            out = np.empty((B, n, T))
            for h, (own, part) in enumerate(self.by_head):
                out[:, own] = part.logits(dW[:, h])
            return out
        if self.rows is not None:
            flat = dW.reshape(B, -1)
            if self.shared:
                return (flat @ self.rows[0].T).reshape(B, n, T)
            return (self.rows @ flat[:, :, None]).reshape(B, n, T)
        seen = self.Z @ dW.transpose(0, 2, 1)
        return (self.X @ seen[..., None])[..., 0]

    def adjoint(self, f: Floats) -> Floats:
        """The adjoint: sum_il f_il x_il z_i' of `f` (B, n, T), shaped as the weights."""
        B = len(f)
        if self.by_head:
            return np.stack([part.adjoint(f[:, own]) for own, part in self.by_head], axis=1)
        shape = (B, self.X.shape[3]) if self.diagonal else (B, self.X.shape[3], self.Z.shape[2])
        if self.rows is not None:
            flat = f.reshape(B, -1)
            if self.shared:
                return (flat @ self.rows[0]).reshape(shape)
            return (flat[:, None, :] @ self.rows).reshape(shape)
        mixed = (f[:, :, None, :] @ self.X)[:, :, 0]
        return mixed.transpose(0, 2, 1) @ self.Z

    def gather(self, active: Ints | None) -> tuple[Floats, Floats]:
        """Tokens (B, A, d) and queries (B, A, d_z) of the flat indices `active` (B, A); all when None.

        An index of -1 stands for no token, whose features and query are 0.
        """
        P, n, T, d = self.X.shape
        X = self.X.reshape(P, n * T, d)
        if active is None:
            return X, np.repeat(self.Z, T, axis=1)
        if self.shared:
            x, z = X[0][active], self.Z[0][active // T]
        else:
            runs = np.arange(P)[:, None]
            x, z = X[runs, active], self.Z[runs, active // T]
        if self.by_head and (active < 0).any():
            x[active < 0], z[active < 0] = 0.0, 0.0
        return x, z

    @cached_property
    def places(self) -> tuple[Ints, ...]:
        """The flat indices of each head's tokens."""
        T = self.shape[1]
        own = [rows for rows, _ in self.by_head] or [np.arange(self.shape[0])]
        return tuple((rows[:, None] * T + np.arange(T)).ravel() for rows in own)


def _rows(X: Floats, Z: Floats, diagonal: bool) -> Floats | None:
    P, n, T, d = X.shape
    if diagonal:
        return np.asarray((X * Z[:, :, None, :]).reshape(P, n * T, d))
    if X.size * Z.shape[2] <= LARGEST_ROWS:
        return np.asarray((X[..., None] * Z[:, :, None, None, :]).reshape(P, n * T, d * Z.shape[2]))
    return None

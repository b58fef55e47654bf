"""The linear algebra of an implicit stage of K and Q, in blocks of A0 and of tokens (docs/flow.md 13)."""

from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.stage import AbstractStage
from marginflow.model.token_rows import TokenRows


@final
@dataclass(frozen=True, eq=False)
class FactorStage(AbstractStage):
    """A0 = [[a, -G], [-G', a]] acts on every column of theta = [K; Q] alike.

    Attributes:
        K, Q: (d, m) and (d_z, m), where phi' is taken.
        G: (d, d_z).
        a: one over the length of the stage.
        keys, crossed, queries: the blocks of A0^-1, (d, d), (d, d_z) and (d_z, d_z).
    """

    K: Floats
    Q: Floats
    G: Floats
    a: float
    keys: Floats
    crossed: Floats
    queries: Floats

    @classmethod
    def of(cls, d: int, theta: Floats, G: Floats, a: float) -> Self | None:
        """That at `theta` (d + d_z, m); None where A0 is not positive definite."""
        try:
            # A0 is definite if and only if this complement is: a is positive.
            half = np.linalg.inv(np.linalg.cholesky(a * np.eye(G.shape[1]) - G.T @ (G / a)))
        except np.linalg.LinAlgError:
            return None
        pulled = half @ (G.T / a)
        keys = pulled.T @ pulled
        keys.reshape(-1)[:: len(keys) + 1] += 1.0 / a
        crossed, queries = pulled.T @ half, half.T @ half
        return cls(theta[:d], theta[d:], G, a, keys, crossed, queries)

    def solve(self, right: Floats) -> Floats:
        upper, lower = right[0, : len(self.K)], right[0, len(self.K) :]
        out = np.empty_like(right)
        np.matmul(self.queries, lower + self.G.T @ (upper / self.a), out=out[0, len(self.K) :])
        out[0, : len(self.K)] = (upper + self.G @ out[0, len(self.K) :]) / self.a
        return out

    def at(self, theta: Floats) -> "FactorStage":
        return replace(self, K=theta[0, : len(self.K)], Q=theta[0, len(self.K) :])

    def gram(self, rows: TokenRows, out: Floats) -> None:
        # The blocks of columns up to each block of rows, so that what is added up is in the cache.
        x, z, of = rows.x, rows.z, rows.of
        keys, queries = x @ self.K, z @ self.Q
        moved = x @ self.keys
        left, right = (x @ self.crossed) @ z.T, keys @ queries.T
        left_by_query, right_by_query = np.ascontiguousarray(left.T), np.ascontiguousarray(right.T)
        with_queries, with_inverse = queries @ queries.T, (z @ self.queries) @ z.T
        for block in rows.blocks:
            own, upto = of[block], slice(block.stop)
            columns = of[upto]
            part = moved[block] @ x[upto].T
            part *= np.take(with_queries[own], columns, axis=1)
            for first, second in (
                (keys[block] @ keys[upto].T, np.take(with_inverse[own], columns, axis=1)),
                (np.take(left[block], columns, axis=1), right_by_query[own, upto]),
                (np.take(right[block], columns, axis=1), left_by_query[own, upto]),
            ):
                first *= second
                part += first
            out[block, upto] = part

    def coupling(self, rows: TokenRows, columns: TokenRows) -> Floats:
        keys, queries = rows.x @ self.K, rows.z @ self.Q
        other_keys, other_queries = columns.x @ self.K, columns.z @ self.Q
        of, others = rows.of, columns.of
        out = (rows.x @ self.keys) @ columns.x.T
        out *= (queries @ other_queries.T)[of][:, others]
        out += (keys @ other_keys.T) * ((rows.z @ self.queries) @ columns.z.T)[of][:, others]
        out += ((rows.x @ self.crossed) @ columns.z.T)[:, others] * (queries @ other_keys.T)[of]
        out += (keys @ other_queries.T)[:, others] * ((rows.z @ self.crossed.T) @ columns.x.T)[of]
        return np.asarray(out)

    def own(self, rows: TokenRows) -> Floats:
        x, z, of = rows.x, rows.z, rows.of
        keys, queries = x @ self.K, z @ self.Q
        out = _along(x @ self.keys, x) * _along(queries, queries)[of]
        out += _along(keys, keys) * _along(z @ self.queries, z)[of]
        out += 2.0 * _along(x, (z @ self.crossed.T)[of]) * _along(keys, queries[of])
        return np.asarray(out)


def _along(left: Floats, right: Floats) -> Floats:
    """(A,) the inner products of rows."""
    return np.asarray(np.einsum("cd,cd->c", left, right))

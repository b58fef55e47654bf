"""The tokens that can be selected at all, with what is worse and better than each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.errors import UndefinedError
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tokens by sample; identical tokens count once.

    Attributes:
        problem: where they come from.
        diagonal: whether W = diag(beta).
        order: (n,) the sample at each position; the arrays below are in this order.
        rows: (n, T, p) the token matrices x z' up to an isometry: x * z for diagonal weights; for full ones
            the token itself times the coordinates of its query in a basis of all queries.
        possible: (n, T) tokens a selection may name.
        worse, better: (n, T, T) [i, a, l] whether l scores below (above) a and differs from it in features.
    """

    problem: Problem
    diagonal: bool
    order: Ints
    possible: Bools
    worse: Bools
    better: Bools

    @classmethod
    def of(cls, problem: Problem, diagonal: bool, order: Ints | None = None) -> "Candidates":
        """The candidates of `problem`.

        A token that looks exactly like one of another score can never be selected: nothing separates the two.

        Raises:
            UndefinedError: diagonal weights for tokens and queries of different dimensions.
        """
        if diagonal and problem.d != problem.d_z:
            raise UndefinedError(
                f"diagonal weights: got tokens in {problem.d} and queries in {problem.d_z} dimensions; "
                "expected the same number; use w or kq"
            )
        order = np.arange(problem.n) if order is None else order
        scores, mask = problem.scores[order], problem.mask[order]
        seen = problem.X[order] * (problem.z[order, None, :] if diagonal else 1.0)
        pair = mask[:, :, None] & mask[:, None, :]
        alike = (seen[:, :, None, :] == seen[:, None, :, :]).all(axis=3) & pair
        lower = (scores[:, :, None] > scores[:, None, :]) & pair
        higher = (scores[:, :, None] < scores[:, None, :]) & pair
        tied = alike & ~lower & ~higher
        first = ~np.tril(tied, -1).any(axis=2)
        hopeless = (alike & (lower | higher)).any(axis=2)
        return cls(problem, diagonal, order, mask & first & ~hopeless, lower, higher)

    @cached_property
    def rows(self) -> Floats:
        """(n, T, p) see the class."""
        X = self.problem.X[self.order]
        if self.diagonal:
            return np.asarray(X * self.problem.z[self.order][:, None, :])
        return np.asarray((X[:, :, :, None] * self.seen[:, None, None, :]).reshape(*X.shape[:2], -1))

    @cached_property
    def seen(self) -> Floats:
        """(n, e) the queries in an orthonormal basis of all of them."""
        z = self.problem.z[self.order]
        return z if z.shape[0] >= z.shape[1] else np.asarray(np.linalg.qr(z.T)[1].T)

    @cached_property
    def independent(self) -> bool:
        """Whether the differences of all tokens are independent: every selection is then separable."""
        X = self.rows - self.rows[:, :1]
        differences = X[:, 1:][self.problem.mask[self.order][:, 1:]]
        if len(differences) > differences.shape[1]:
            return False
        length = np.linalg.norm(differences, axis=1)
        if not length.all():
            return False
        least = np.linalg.svd(differences / length[:, None], compute_uv=False)[-1]
        return bool(least > 1e-10)

    @property
    def count(self) -> int:
        """How many selections there are."""
        out = 1
        for row in self.possible:
            out *= int(row.sum())
        return out

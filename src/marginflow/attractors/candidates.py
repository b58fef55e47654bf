"""The tokens that can be selected at all, with what is worse and better than each."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

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
    """

    problem: Problem
    diagonal: bool
    order: Ints
    possible: Bools

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
        possible = np.zeros(problem.mask.shape, dtype=bool)
        for i, sample in enumerate(order):
            here = np.flatnonzero(problem.mask[sample])
            seen = problem.X[sample, here] * (problem.z[sample] if diagonal else 1.0)
            possible[i, here] = _selectable(seen, problem.scores[sample, here])
        return cls(problem, diagonal, order, possible)

    @cached_property
    def worse(self) -> Bools:
        """(n, T, T) [i, a, l]: whether l scores below a; built only once a search has begun."""
        return self._pairs(np.greater)

    @cached_property
    def better(self) -> Bools:
        """(n, T, T) [i, a, l]: whether l scores above a."""
        return self._pairs(np.less)

    def _pairs(self, relation: np.ufunc) -> Bools:
        scores, mask = self.problem.scores[self.order], self.problem.mask[self.order]
        return np.asarray(relation(scores[:, :, None], scores[:, None, :]) & mask[:, :, None] & mask[:, None, :])

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
        """Whether the differences of all tokens are independent: every selection is then separable.

        False also where that would take more than a moment to see.
        """
        mask = self.problem.mask[self.order]
        places = self.problem.d * (1 if self.diagonal else self.seen.shape[1])
        count = int((mask.sum(axis=1) - 1).sum())
        if count > places:
            return False
        sample, token = np.nonzero(mask)
        first = mask.argmax(axis=1)
        own = token == first[sample]
        sample, token = sample[~own], token[~own]
        if count * places <= _WRITTEN_OUT:
            rows = self.rows[sample, token] - self.rows[sample, first[sample]]
            length = np.linalg.norm(rows, axis=1)
            return bool(length.all() and np.linalg.svd(rows / length[:, None], compute_uv=False)[-1] > _INDEPENDENT)
        if count > _LARGEST_GRAM:
            return False
        X, z = self.problem.X[self.order], self.problem.z[self.order]
        a = X[sample, token] - X[sample, first[sample]]
        if self.diagonal:
            a = a * z[sample]
        gram = a @ a.T
        if not self.diagonal:
            gram *= (z @ z.T)[np.ix_(sample, sample)]
        length = np.sqrt(np.diagonal(gram))
        # Squares of singular values: what is left of them after rounding is far above _INDEPENDENT.
        return bool(length.all() and np.linalg.eigvalsh(gram / np.outer(length, length))[0] > _INDEPENDENT)

    @property
    def count(self) -> int:
        """How many selections there are."""
        out = 1
        for row in self.possible:
            out *= int(row.sum())
        return out


_INDEPENDENT: Final = 1e-10
"""Least singular value of rows of length one from which they count as independent."""

_WRITTEN_OUT: Final = 4_000_000
_LARGEST_GRAM: Final = 1_500
"""Entries of the token differences written out, and rows of their Gram matrix: a second of work each."""


def _selectable(seen: Floats, scores: Floats) -> Bools:
    """(t,) which of the tokens `seen` (t, p) a selection may name; memory of the order of `seen`.

    Of equal tokens with equal scores the first; none of equal tokens whose scores differ.
    """
    # Adding 0.0 makes -0.0 the same bytes as 0.0.
    rows = np.ascontiguousarray(seen + 0.0)
    alike = np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(), return_inverse=True)[
        1
    ]
    least, most = np.full(len(rows), np.inf), np.full(len(rows), -np.inf)
    np.minimum.at(least, alike, scores)
    np.maximum.at(most, alike, scores)
    first = np.zeros(len(rows), dtype=bool)
    first[np.unique(alike, return_index=True)[1]] = True
    return np.asarray(first & (least == most)[alike])

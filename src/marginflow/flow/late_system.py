"""The linear system of Newton's method in a late stage: the tokens that answer their own push (docs/flow.md 13)."""

from typing import Final

import numpy as np
from scipy.linalg.lapack import dpotrs, spotrs

from marginflow.arrays import Bools, Floats, Ints, Singles
from marginflow.flow.late_stage import MOST_ENTERING, Stage
from marginflow.flow.symmetric_system import cholesky_in_place
from marginflow.model.stage import AbstractStage


FELT: Final = 0.01
"""lam M_cc of a token from which it is an unknown of its own: below it, what it pulls moves its own logit by less."""

LEAST_SEEN: Final = 1e-30
"""The force below which no token is looked at: its own push would have to be 1e28 units of margin."""

ENTERS: Final = 10.0
"""The push on its own logit with which a token comes into the force: larger ones, of dozens at once, exceed all force
there is, and the iteration cycles."""

FADES: Final = 20.0
"""By how much the log of a force may fall in one iteration."""

SINGLE_FROM: Final = 200
"""Unknowns from which the factor is of single precision: residuals are not, and Newton's method corrects the rest."""

SINGLE_TO: Final = 1e5
"""The largest lam M_cc up to which: rounded to 6e-8 of it, the 1 that tokens answer with themselves is good to 1 %."""

ROOM: Final = 1.2
"""How many times more rows than needed M is given, so that tokens that come in do not move it."""


class StageSystem:
    """The tokens that are unknowns of a stage, with M between them at its first theta; new ones add rows.

    What each pushes on its own logit is kept from one stage of a step to the next: it only says which they are; and M
    itself where it is the same at every theta. `single` is M in single precision, which most factors are made of.
    """

    algebra: AbstractStage

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.enters = np.log(MOST_ENTERING)
        self.own = np.full(stage.below.size, np.nan)
        self.size, self.work, self.index = 0, np.zeros(0), np.zeros(0, dtype=np.intp)
        self.M, self.single = np.zeros((0, 0)), np.zeros((0, 0), dtype=np.float32)
        self.place = np.full(stage.below.size, -1)

    def begin(self, algebra: AbstractStage) -> None:
        """A new stage of the same step, with this linear algebra."""
        kept = self.size > 0 and algebra.has_gram_of(self.algebra)
        self.algebra = algebra
        if not kept:
            self.size, self.index = 0, np.zeros(0, dtype=np.intp)
            self.place[:] = -1

    def choose(self, f: Floats, held: Bools) -> Ints:
        """The flat indices of the tokens that are unknowns at the force `f` (n, T)."""
        size = np.abs(f.reshape(-1))
        seen = np.flatnonzero((size > LEAST_SEEN) & (self.stage.below & ~held).reshape(-1))
        new = seen[np.isnan(self.own[seen])]
        if len(new):
            self.own[new] = self.algebra.own(self.stage.rows(new))
        chosen = seen[size[seen] * self.own[seen] > FELT]
        if len(chosen):
            self.enters = np.log(min(MOST_ENTERING, ENTERS / float(np.median(self.own[chosen]))))
        return chosen

    def _places(self, chosen: Ints) -> Ints:
        """Where the `chosen` stand in M, which is filled up to its diagonal."""
        new = chosen[self.place[chosen] < 0]
        if len(new):
            rows, first, last = self.stage.rows(new), self.size, self.size + len(new)
            if last > len(self.M):
                M, single = (np.empty((int(ROOM * last),) * 2, dtype=kind) for kind in (np.float64, np.float32))
                M[:first, :first], single[:first, :first] = self.M[:first, :first], self.single[:first, :first]
                self.M, self.single = M, single
            self.algebra.gram(rows, self.M[first:last, first:last])
            if first:
                self.M[first:last, :first] = self.algebra.coupling(rows, self.stage.rows(self.index))
            with np.errstate(over="ignore"):  # what leaves the range pushes more than `SINGLE_TO`
                self.single[first:last, :last] = self.M[first:last, :last]
            self.index, self.size = np.append(self.index, new), last
            self.place[new] = np.arange(first, last)
        return self.place[chosen]

    def _between(self, rows: Ints, columns: Ints) -> Floats:
        """M between tokens at any places."""
        i, j = rows[:, None], columns[None, :]
        return np.asarray(self.M[np.maximum(i, j), np.minimum(i, j)])

    def _factor(self, places: Ints, root: Floats) -> Singles | None:
        """The Cholesky factor of 1 + C M C, C = `root`, of the tokens at these ascending `places`."""
        if not len(places):
            return np.zeros((0, 0))
        push = float((root * root * self.M[places, places]).max())
        single = len(places) >= SINGLE_FROM and push <= SINGLE_TO
        return cholesky_in_place(self._scaled(places, root, np.float32 if single else np.float64))

    def _scaled(self, places: Ints, root: Floats, precision: type[np.floating]) -> Singles:
        """1 + C M C on and below its diagonal, in memory that the next call uses again."""
        A = len(places)
        if self.work.size < A * A:
            self.work = np.empty(int(ROOM * A * A))
        E: Singles = self.work.view(precision)[: A * A].reshape(A, A)
        M, root = (self.single if precision is np.float32 else self.M), root.astype(precision)
        for i in range(0, A, _BLOCK):
            rows, upto = slice(i, min(i + _BLOCK, A)), slice(min(i + _BLOCK, A))
            part = M[places[rows]].take(places[upto], axis=1)
            part *= root[rows, None]
            part *= root[upto]
            E[rows, upto] = part
        E.reshape(-1)[:: A + 1] += 1.0
        return E

    def step(self, chosen: Ints, f: Floats, r: Floats) -> tuple[Floats, float] | None:
        """By how much the levels of the `chosen` move, and psi; None where the system has no sense.

        The rows divided by C = |lam|^(1/2), those of better tokens (lam < 0) with their sign turned, are
        [[1 + C M C, .], [., C M C - 1]]: a Cholesky factor of the first block, a small Schur complement below.
        """
        places = self._places(chosen)
        lam = -f.reshape(-1)[chosen]
        order = np.lexsort((places, lam < 0.0))
        chosen, places, lam = chosen[order], places[order], lam[order]
        worse = int((lam > 0.0).sum())
        root = np.sqrt(np.abs(lam))
        factor = self._factor(places[:worse], root[:worse])
        if factor is None:
            return None
        right = np.column_stack([root * r.reshape(-1)[chosen], root])
        y = _solve(factor, right[:worse])
        if worse < len(lam):
            turned = self._between(places[worse:], places) * (root[worse:, None] * root)
            cross, own = turned[:, :worse], turned[:, worse:]
            solved = _solve(factor, cross.T)
            schur = np.eye(len(lam) - worse) - own + cross @ solved
            small = cholesky_in_place(schur)
            if small is None:
                # A better token answers its own pull with more than it: from here it runs away.
                return None
            below = _solve(small, cross @ y - right[worse:])
            y = np.concatenate([y - solved @ below, below])
        y *= root[:, None]
        top = np.take_along_axis(f, self.stage.at.force.top[0][:, None], axis=1)
        g = np.broadcast_to(top, f.shape).reshape(-1)[chosen] + lam
        # The others answer psi alone; as |f| = 1, g'lam over all tokens is 1.
        dpsi = -float(g @ y[:, 0]) / (1.0 - float(g @ lam) + float(g @ y[:, 1]))
        change = (y[:, 0] + dpsi * y[:, 1]) / lam
        levels = np.where(change > 0.0, np.log1p(np.maximum(change, 0.0)), np.maximum(change, -FADES))
        out = np.empty_like(levels)
        out[order] = levels
        return out, dpsi


def _solve(factor: Singles, right: Floats) -> Floats:
    """(A, k) the solution for `right` (A, k), to the precision of the factor."""
    if not len(factor):
        return right
    if factor.dtype == np.float32:
        return np.asarray(spotrs(factor, right.astype(np.float32))[0], dtype=np.float64)
    return np.asarray(dpotrs(factor, right)[0])


_BLOCK: Final = 64
"""Rows of the matrix that are scaled at a time, while they are in the cache."""

"""The linear system of Newton's method in a late stage: the tokens that answer their own push (docs/flow.md 13)."""

from typing import Final

import numpy as np
from scipy.linalg.lapack import dpotrs

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.late_stage import MOST_ENTERING, Stage
from marginflow.flow.symmetric_system import cholesky_in_place
from marginflow.model.parameterization import AbstractStageResolvent


FELT: Final = 0.01
"""lam M_cc of a token from which it is an unknown of its own: below it, what it pulls moves its own logit by less."""

LEAST_SEEN: Final = 1e-30
"""The force below which no token is looked at: its own push would have to be 1e28 units of margin."""

ENTERS: Final = 10.0
"""The push on its own logit with which a token comes into the force: larger ones, of dozens at once, exceed all force
there is, and the iteration cycles."""

FADES: Final = 20.0
"""By how much the log of a force may fall in one iteration."""


class StageSystem:
    """The tokens that are unknowns of a stage, with M between them at its first theta; new ones add rows."""

    def __init__(self, stage: Stage, resolvent: AbstractStageResolvent) -> None:
        self.stage, self.resolvent = stage, resolvent
        self.enters = np.log(MOST_ENTERING)
        self.index = np.zeros(0, dtype=np.intp)
        self.M = np.zeros((0, 0))
        self.own = np.full(stage.below.size, np.nan)
        self.place = np.full(stage.below.size, -1)

    def choose(self, f: Floats, held: Bools) -> Ints:
        """The flat indices of the tokens that are unknowns at the force `f` (n, T)."""
        size = np.abs(f.reshape(-1))
        seen = np.flatnonzero((size > LEAST_SEEN) & (self.stage.below & ~held).reshape(-1))
        new = seen[np.isnan(self.own[seen])]
        if len(new):
            self.own[new] = self.resolvent.own(0, self.stage.rows(new))
        chosen = seen[size[seen] * self.own[seen] > FELT]
        if len(chosen):
            self.enters = np.log(min(MOST_ENTERING, ENTERS / float(np.median(self.own[chosen]))))
        return chosen

    def _matrix(self, chosen: Ints) -> Floats:
        """M between the `chosen`."""
        new = chosen[self.place[chosen] < 0]
        if len(new):
            old, rows = self.index, self.stage.rows(new)
            M = np.empty((len(old) + len(new),) * 2)
            M[: len(old), : len(old)] = self.M
            M[len(old) :, len(old) :] = self.resolvent.coupling(0, rows, rows)
            if len(old):
                M[len(old) :, : len(old)] = self.resolvent.coupling(0, rows, self.stage.rows(old))
                M[: len(old), len(old) :] = M[len(old) :, : len(old)].T
            self.M, self.index = M, np.append(old, new)
            self.place[new] = np.arange(len(old), len(self.index))
        place = self.place[chosen]
        return self.M[np.ix_(place, place)]

    def step(self, chosen: Ints, f: Floats, r: Floats) -> tuple[Floats, float] | None:
        """By how much the levels of the `chosen` move, and psi; None where the system has no sense.

        The rows divided by C = |lam|^(1/2), those of better tokens (lam < 0) with their sign turned, are
        [[1 + C M C, .], [., C M C - 1]]: a Cholesky factor of the first block, a small Schur complement below.
        """
        lam = -f.reshape(-1)[chosen]
        order = np.argsort(lam < 0.0, kind="stable")
        chosen, lam = chosen[order], lam[order]
        worse = int((lam > 0.0).sum())
        root = np.sqrt(np.abs(lam))
        E = self._matrix(chosen)
        E *= root[:, None]
        E *= root[None, :]
        right = np.column_stack([root * r.reshape(-1)[chosen], root])
        E[np.arange(worse), np.arange(worse)] += 1.0
        solved = _definite(E[:worse, :worse], np.column_stack([right[:worse], E[:worse, worse:]]))
        if solved is None:
            return None
        if worse < len(lam):
            cross = E[worse:, :worse]
            schur = np.eye(len(lam) - worse) - E[worse:, worse:] + cross @ solved[:, 2:]
            below = _definite(schur, cross @ solved[:, :2] - right[worse:])
            if below is None:
                # A better token answers its own pull with more than it: from here it runs away.
                return None
            solved = np.concatenate([solved[:, :2] - solved[:, 2:] @ below, below])
        y = solved[:, :2] * root[:, None]
        top = np.take_along_axis(f, self.stage.at.force.top[0][:, None], axis=1)
        g = np.broadcast_to(top, f.shape).reshape(-1)[chosen] + lam
        # The others answer psi alone; as |f| = 1, g'lam over all tokens is 1.
        dpsi = -float(g @ y[:, 0]) / (1.0 - float(g @ lam) + float(g @ y[:, 1]))
        change = (y[:, 0] + dpsi * y[:, 1]) / lam
        levels = np.where(change > 0.0, np.log1p(np.maximum(change, 0.0)), np.maximum(change, -FADES))
        out = np.empty_like(levels)
        out[order] = levels
        return out, dpsi


def _definite(matrix: Floats, right: Floats) -> Floats | None:
    """matrix^-1 right of a symmetric matrix, which is overwritten; None where it is not positive definite."""
    if not len(matrix):
        return right
    factor = cholesky_in_place(matrix)
    return None if factor is None else np.asarray(dpotrs(factor, right)[0])

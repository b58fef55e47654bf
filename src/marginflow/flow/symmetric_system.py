"""The linear system of a step where weights are linear in the parameters and all tokens but the top ones weigh nothing.

With lam_c = -f_c > 0 of the tokens below the top, in the coordinates y_c = u_c and margins rho_c = r_top - r_c,
J_f is -(1 - lam g') diag(lam), g_c = lam_c + sum of lam over c's sample, and M (in a_c = x_c - x_top) is symmetric:
(1 - J_f M) u = b is (1 + diag(lam) M) y = b + lam c with the c for which g'y = 0. One Cholesky of 1 + C M C,
C = diag(lam)^(1/2), solves both right sides (derived in docs/flow.md 4).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, spotrf

from marginflow.arrays import Floats, Ints, Singles
from marginflow.flow.point import Point
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import flat_index
from marginflow.model.parameterization import AbstractResolvent


@dataclass(frozen=True, eq=False)
class SymmetricSystem:
    """(1 - J_f M) u = J_f r for tokens below the top, one Cholesky factor a run.

    Attributes:
        places: (B, A) flat indices into (B, n, T) arrays of the tokens; `tops` (B, A) those of their samples' tops.
        root: (B, A) C; 0 for what only fills the rows up.
        sums: (B, A) g.
        factors: of each run, of 1 + C M C.
    """

    places: Ints
    tops: Ints
    root: Floats
    sums: Floats
    factors: list[Singles]

    @classmethod
    def of(cls, at: Point, tokens: Tokens, resolvent: AbstractResolvent, active: Ints | None) -> Self | None:
        """That of the `active` (B, A) tokens, all for None; None where another token weighs, or a better one pulls."""
        if not resolvent.symmetric or tokens.by_head:
            return None
        B, n, T = at.ds.shape
        tops = flat_index(at.force.top, at.ds.shape)
        others = at.force.p.copy()
        others.reshape(-1)[tops] = 0.0
        if others.max() > np.finfo(float).eps:
            return None
        f = at.force.f.reshape(B, n * T)
        runs = n * T * np.arange(B)[:, None]
        index = np.broadcast_to(np.arange(n * T), (B, n * T)) if active is None else active
        below = index + runs != tops.reshape(-1)[index // T + n * np.arange(B)[:, None]]
        pull = np.where(below, np.take_along_axis(f, index, axis=1), 0.0)
        if pull.max() > 0.0:
            return None
        most = max(int((pull < 0.0).sum(axis=1).max()), 1)
        order = np.sort(np.argsort(pull == 0.0, axis=1, kind="stable")[:, :most], axis=1)
        index, pull = np.take_along_axis(index, order, axis=1), np.take_along_axis(pull, order, axis=1)
        of_sample = tops.reshape(-1)[index // T + n * np.arange(B)[:, None]]
        x, z = tokens.gather(index)
        M = resolvent.kernel(x - tokens.gather(of_sample - runs)[0], z)
        root = np.sqrt(-pull)
        M = M * root[:, :, None]
        M *= root[:, None, :]
        M.reshape(B, -1)[:, :: most + 1] += 1.0
        factors = [factor for factor in map(cholesky_in_place, M) if factor is not None]
        if len(factors) < B:
            return None
        sums = np.where(pull < 0.0, at.force.f.take(of_sample) - pull, 0.0)
        return cls(index + runs, of_sample, root, sums, factors)

    def solve(self, right: Floats) -> Floats:
        """u (B, n, T) for J_f r = `right` (B, n, T)."""
        u = np.zeros_like(right)
        flat = u.reshape(-1)
        b = right.take(self.places)
        scaled = np.divide(b, self.root, out=np.zeros_like(b), where=self.root > 0.0)
        for run, factor in enumerate(self.factors):
            root = self.root[run]
            solved = dpotrs(factor, np.column_stack([scaled[run], root]))[0] * root[:, None]
            along = self.sums[run] @ solved
            y = solved[:, 0] - (along[0] / along[1]) * solved[:, 1]
            flat[self.places[run]] = y
            np.subtract.at(flat, self.tops[run], y)
        return u


def cholesky_in_place(matrix: Singles) -> Singles | None:
    """The factor of a symmetric C array, which is overwritten, as `potrs` takes it; None where it is not definite.

    What is above the diagonal is not read.
    """
    # Its transpose is the same matrix as a Fortran array.
    factor, failed = (spotrf if matrix.dtype == np.float32 else dpotrf)(matrix.T, overwrite_a=True)
    return None if failed else np.asarray(factor)

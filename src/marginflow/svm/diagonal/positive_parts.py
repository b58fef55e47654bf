"""Programs in beta = p - n with slacks s: what l1 and l_p share."""

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.svm.diagonal.path_following import AbstractProgram, Inverse, diagonal_plus_gram


class AbstractSplitProgram(AbstractProgram):
    """x = (p, n, s) >= 0 with R (p - n) - s = b; R is (C, d). Rows that are equalities have no s."""

    R: Floats
    equal: Bools

    def product(self, x: Floats) -> Floats:
        p, n, s = self.split(x)
        return self.R @ (p - n) - self.over_rows(s)

    def adjoint(self, y: Floats) -> Floats:
        pulled = y @ self.R
        return np.concatenate((pulled, -pulled, -y[~self.equal]))

    def normal(self, D: Floats) -> Inverse:
        p, n, s = self.split(D)
        return diagonal_plus_gram(self.R, self.over_rows(s), p + n)

    def split(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """p (d,), n (d,) and s, one per inequality."""
        d = self.R.shape[1]
        return x[:d], x[d : 2 * d], x[2 * d :]

    def over_rows(self, s: Floats) -> Floats:
        """(C,) the slacks `s`, 0 for equalities."""
        if not self.equal.any():
            return s
        out = np.zeros(len(self.equal))
        out[~self.equal] = s
        return out

    def active(self, y: Floats, s: Floats) -> Bools:
        """(C,) the rows whose multiplier exceeds their slack, and equalities."""
        return np.asarray((y > self.over_rows(s)) | self.equal)

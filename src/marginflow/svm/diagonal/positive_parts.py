"""Programs in beta = p - n with slacks s: what l1 and l_p share."""

import numpy as np

from marginflow.arrays import Floats
from marginflow.svm.diagonal.path_following import AbstractProgram, Inverse, diagonal_plus_gram


class AbstractSplitProgram(AbstractProgram):
    """x = (p, n, s) >= 0 with R (p - n) - s = b; R is (C, d)."""

    R: Floats

    def product(self, x: Floats) -> Floats:
        p, n, s = self.split(x)
        return self.R @ (p - n) - s

    def adjoint(self, y: Floats) -> Floats:
        pulled = y @ self.R
        return np.concatenate((pulled, -pulled, -y))

    def normal(self, D: Floats) -> Inverse:
        p, n, s = self.split(D)
        return diagonal_plus_gram(self.R, s, p + n)

    def split(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """p (d,), n (d,) and s (C,)."""
        d = self.R.shape[1]
        return x[:d], x[d : 2 * d], x[2 * d :]

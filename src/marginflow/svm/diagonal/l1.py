"""The linear program of the l1 norm: min sum(p + n) with R (p - n) - s = h (theory 3.4)."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.svm.diagonal.path_following import Iterate
from marginflow.svm.diagonal.positive_parts import AbstractSplitProgram
from marginflow.svm.diagonal.vertex import AbstractVertexProgram, Pair, Start, highs, least_squares


@dataclass(frozen=True, eq=False)
class L1(AbstractSplitProgram, AbstractVertexProgram):
    """x = (p, n, s): min sum(p + n) with R (p - n) - s = h; its multipliers y are the SVM's."""

    R: Floats
    b: Floats
    equal: Bools

    def gradient(self, x: Floats) -> Floats:
        out = np.ones(len(x))
        out[2 * self.R.shape[1] :] = 0.0
        return out

    def pair(self, point: Iterate) -> Pair:
        p, n, _ = self.split(point.x)
        return p - n, point.y

    def value(self, beta: Floats) -> float:
        return float(np.abs(beta).sum())

    def dual_value(self, pulled: Floats) -> float:
        return float(np.abs(pulled).max())

    def square(self, point: Iterate) -> bool:
        d = self.R.shape[1]
        p, n, s = self.split(point.x)
        nonzero = (p > point.z[:d]) | (n > point.z[d : 2 * d])
        return int(nonzero.sum()) == int(self.active(point.y, s).sum())

    def vertex(self, point: Iterate) -> Pair:
        """Active rows and non-zero weights as the iterate has them, then their equations solved."""
        d = self.R.shape[1]
        p, n, s = self.split(point.x)
        nonzero = (p > point.z[:d]) | (n > point.z[d : 2 * d])
        active = self.active(point.y, s)
        beta, y = np.where(nonzero, p - n, 0.0), np.where(active, point.y, 0.0)
        E = self.R[np.ix_(active, nonzero)]
        beta[nonzero] += least_squares(E, self.b[active] - E @ beta[nonzero])
        y[active] += least_squares(E.T, np.sign((p - n)[nonzero]) - E.T @ y[active])
        return beta, y

    def at(self, beta: Floats, y: Floats) -> Iterate:
        pulled = y @ self.R
        some = ~self.equal
        s = np.maximum(self.R @ beta - self.b, 0.0)[some]
        x = np.concatenate((np.maximum(beta, 0.0), np.maximum(-beta, 0.0), s))
        return Iterate(x, y, np.concatenate((1.0 - pulled, 1.0 + pulled, y[some])), 0.0)

    def simplex(self) -> Pair:
        d = self.R.shape[1]
        both = np.hstack((self.R, -self.R))
        return highs(np.ones(2 * d), both, self.b, lambda x: x[:d] - x[d:], equal=self.equal)


def start_l1(R: Floats, h: Floats, equal: Bools) -> Start:
    """A strictly feasible dual point, so that every iterate's multipliers give a bound."""
    d = R.shape[1]
    program, some = L1(R, h, equal), ~equal
    y = np.where(equal, 0.0, 0.5 / max(float(np.abs(R[some].sum(axis=0)).max()), 1.0))
    pulled = y @ R
    start = np.ones(2 * d + int(some.sum()))
    return program, start, y, np.concatenate((1.0 - pulled, 1.0 + pulled, y[some]))

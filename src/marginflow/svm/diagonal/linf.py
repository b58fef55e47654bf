"""The linear program of the l_inf norm, solved through its dual (theory 3.4)."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.svm.diagonal.path_following import Inverse, Iterate, cholesky
from marginflow.svm.diagonal.vertex import AbstractVertexProgram, Pair, Start, highs, least_squares


@dataclass(frozen=True, eq=False)
class Linf(AbstractVertexProgram):
    """The dual as the program: x = (lam, p, n, e), max h'lam with R'lam = p - n, sum(p + n) + e = 1.

    The multipliers of its equations are (-beta, -t), t = max |beta_j|. Equalities of the SVM make lam free, which these
    interior points do not allow for: they go to HiGHS.
    """

    R: Floats
    h: Floats
    equal: Bools
    b: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "b", np.append(np.zeros(self.R.shape[1]), 1.0))

    @property
    def interior(self) -> bool:
        return not self.equal.any()

    def product(self, x: Floats) -> Floats:
        lam, p, n, e = self._split(x)
        return np.append(lam @ self.R - p + n, p.sum() + n.sum() + e.sum())

    def adjoint(self, y: Floats) -> Floats:
        v, t = y[:-1], y[-1]
        return np.concatenate((self.R @ v, t - v, t + v, [t]))

    def normal(self, D: Floats) -> Inverse:
        """Factor [[E + R'LR, n - p], [., sum E + e]] with E = diag(p + n), L = diag(lam).

        Always written out: Woodbury's formula on the other side of R loses every digit before the vertex is
        reached, because E vanishes on more weights than there are active rows.
        """
        lam, p, n, e = self._split(D)
        d = self.R.shape[1]
        half = self.R * np.sqrt(lam)[:, None]
        K = np.empty((d + 1, d + 1))
        K[:d, :d] = half.T @ half
        K[np.diag_indices(d)] += p + n
        K[d, :d] = K[:d, d] = n - p
        K[d, d] = p.sum() + n.sum() + e.sum()
        return cholesky(K)

    def gradient(self, x: Floats) -> Floats:
        out = np.zeros(len(x))
        out[: len(self.h)] = -self.h
        return out

    def pair(self, point: Iterate) -> Pair:
        return -point.y[:-1], point.x[: len(self.h)]

    def value(self, beta: Floats) -> float:
        return float(np.abs(beta).max())

    def dual_value(self, pulled: Floats) -> float:
        return float(np.abs(pulled).sum())

    def square(self, point: Iterate) -> bool:
        C, d = self.R.shape
        lam, p, n, _ = self._split(point.x)
        bound = (p > point.z[C : C + d]) | (n > point.z[C + d : C + 2 * d])
        return int((~bound).sum()) + 1 == int((lam > point.z[:C]).sum())

    def vertex(self, point: Iterate) -> Pair:
        """Active rows and weights at the bound as the iterate has them, then their equations solved."""
        C, d = self.R.shape
        lam, p, n, _ = self._split(point.x)
        z = point.z
        active = (lam > z[:C]) | self.equal
        above, below = p > z[C : C + d], n > z[C + d : C + 2 * d]
        bound, sign = above | below, np.where(above, 1.0, -1.0)
        beta, t = -point.y[:-1].copy(), -float(point.y[-1])
        # Unknowns: the weights inside the bound and the bound t itself.
        E = np.column_stack((self.R[np.ix_(active, ~bound)], self.R[np.ix_(active, bound)] @ sign[bound]))
        inside = np.append(beta[~bound], t)
        inside += least_squares(E, self.h[active] - E @ inside)
        beta = np.where(bound, sign * inside[-1], 0.0)
        beta[~bound] = inside[:-1]
        y = np.where(active, lam, 0.0)
        target = np.append(np.zeros(len(inside) - 1), 1.0)
        y[active] += least_squares(E.T, target - E.T @ y[active])
        return beta, y

    def at(self, beta: Floats, y: Floats) -> Iterate:
        pulled, t = y @ self.R, float(np.abs(beta).max())
        x = np.concatenate((y, np.maximum(pulled, 0.0), np.maximum(-pulled, 0.0), [0.0]))
        z = np.concatenate((np.maximum(self.R @ beta - self.h, 0.0), t - beta, t + beta, [t]))
        return Iterate(x, np.append(-beta, -t), z, 0.0)

    def simplex(self) -> Pair:
        """The primal program by HiGHS, with p = t + beta and n = t - beta, p + n = 2 t for every weight."""
        C, d = self.R.shape
        G = np.hstack((self.R, np.zeros((C, 1))))
        box = np.vstack((np.hstack((-np.eye(d), np.ones((d, 1)))), np.hstack((np.eye(d), np.ones((d, 1))))))
        beta, y = highs(
            np.append(np.zeros(d), 1.0),
            np.vstack((G, box)),
            np.append(self.h, np.zeros(2 * d)),
            lambda x: x[:d],
            equal=np.append(self.equal, np.zeros(2 * d, dtype=bool)),
            least=-np.inf,
        )
        return beta, y[:C]

    def _split(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        C, d = self.R.shape
        return x[:C], x[C : C + d], x[C + d : C + 2 * d], x[C + 2 * d :]


def start_linf(R: Floats, h: Floats, equal: Bools) -> Start:
    """lam small and constant, p - n = R'lam with room to spare: every iterate stays on the equations."""
    C, d = R.shape
    program = Linf(R, h, equal)
    lam = np.full(C, 0.25 / max(float(np.abs(R.sum(axis=0)).sum()), 1.0))
    pulled = lam @ R
    spare = 0.25 / d
    x = np.concatenate((lam, np.maximum(pulled, 0.0) + spare, np.maximum(-pulled, 0.0) + spare, [0.0]))
    x[-1] = 1.0 - float(x[C:].sum())
    t = 1.0 + float(h.max())
    return program, x, np.append(np.zeros(d), -t), np.concatenate((np.ones(C), np.full(2 * d + 1, t)))

"""min ||W||_* subject to a_c' W z_c >= 1: the SVM of (K, Q) (theory 3.4, design 6)."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.spectral import Progress, solve_spectral


class Nuclear:
    """The sum of singular values; its dual is the largest one."""

    def prox(self, Y: Floats, tau: float) -> tuple[Floats, float]:
        """Singular value thresholding, through the smaller of Y'Y and YY' (design 6)."""
        tall = Y.shape[0] >= Y.shape[1]
        square, V = np.linalg.eigh(Y.T @ Y if tall else Y @ Y.T)
        first = int(np.searchsorted(square, tau * tau, side="right"))
        if first == len(square):
            return np.zeros_like(Y), 0.0
        s = np.sqrt(square[first:])
        V = V[:, first:]
        value = float(s.sum() - tau * len(s))
        if tall:
            return (Y @ V) @ ((1.0 - tau / s)[:, None] * V.T), value
        return ((1.0 - tau / s) * V) @ (V.T @ Y), value

    def value(self, W: Floats) -> float:
        """The sum of the singular values of `W`."""
        return float(np.linalg.svd(W, compute_uv=False).sum())

    def dual_value(self, B: Floats) -> float:
        """The largest singular value of `B`."""
        square = np.linalg.eigvalsh(B.T @ B if B.shape[0] >= B.shape[1] else B @ B.T)
        return float(np.sqrt(max(square[-1], 0.0)))

    def balance(self, W, B):
        return 1.0 / float(np.linalg.norm(W, 2))

    def face(self, s, omega, shape):
        r = int((s > 1.0).sum())
        w = np.maximum(s - 1.0, 0.0) / omega
        b = np.minimum(s, 1.0)
        on = np.arange(len(s)) < r
        near = np.where(on, 1.0, np.maximum(1.0 - b * b, 1e-300))
        rho = np.where(on, 0.25, 1.0 / near)
        kappa = np.where(on, -0.25, b / near)
        return NuclearFace(
            float(w.sum()),
            w,
            r,
            (_pad(w, shape[0], 0.0), _pad(rho, shape[0], 1.0)),
            (_pad(w, shape[1], 0.0), _pad(rho, shape[1], 1.0)),
            kappa,
        )


def _pad(x, length, value):
    return np.concatenate((x, np.full(length - len(x), value)))



@dataclass(frozen=True, eq=False)
class NuclearFace:
    """W has rank r and B = U1 V1' there; b < 1 elsewhere (docs/svm-nuclear.md, 3.2)."""

    value: float
    w: Floats
    rank: int
    left: tuple[Floats, Floats]
    right: tuple[Floats, Floats]
    kappa: Floats

    def psi(self, M):
        (w, rho), (w_, rho_) = self.left, self.right
        out = (np.outer(w, rho_) + np.outer(rho, w_)) * M
        p = len(self.kappa)
        out[:p, :p] += (np.outer(self.w, self.kappa) + np.outer(self.kappa, self.w)) * M[:p, :p].T
        return out

    def gram(self, a, z, sample):
        (_, rho), (_, rho_) = self.left, self.right
        r, p = self.rank, len(self.kappa)
        w = self.w[:r]
        aw, zw = a[:, :r] * w, z[:, :r] * w
        pair = np.ix_(sample, sample)
        H = (aw @ a[:, :r].T) * ((z * rho_) @ z.T)[pair]
        H += ((a * rho) @ a.T) * (zw @ z[:, :r].T)[pair]
        crossed = (aw @ z[:, :r].T)[:, sample] * ((z[:, :p] * self.kappa) @ a[:, :p].T)[sample]
        H += crossed
        H += crossed.T
        return H

    def equations(self, a, z):
        x, y = a[:, : self.rank], z[:, : self.rank]
        i, j = np.triu_indices(self.rank)
        E = x[:, i] * y[:, j]
        off = i != j
        E[:, off] = (E[:, off] + x[:, j[off]] * y[:, i[off]]) / np.sqrt(2.0)
        return E, np.where(off, 0.0, 1.0)

    def free(self, multipliers):
        M = np.zeros((len(self.left[0]), len(self.right[0])))
        i, j = np.triu_indices(self.rank)
        values = np.where(i == j, multipliers, multipliers / np.sqrt(2.0))
        M[i, j] = values
        M[j, i] = values
        return M


def solve_nuclear(
    constraints: Constraints,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
) -> Candidate:
    """Minimise the nuclear norm to a relative gap of about `tol` / 4, by the solver's own estimate.

    Args:
        constraints: C >= 1 of them, W is (d, d_z).
        tol: the relative gap that the certificate should reach.
        progress: called as progress(iteration, gap) a few times per second.
        start: a solution of similar constraints to start from.

    Returns:
        The best primal and dual found, whether or not the tolerance was met, and the ray that proves the
        data infeasible where there is one.
    """
    return solve_spectral(constraints, Nuclear(), tol, progress=progress, start=start)

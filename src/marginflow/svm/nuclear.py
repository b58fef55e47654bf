"""min ||W||_* subject to a_c' W z_c >= 1: the SVM of (K, Q) (theory 3.4, design 6)."""

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

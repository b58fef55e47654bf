"""min ||W||_* subject to a_c' W z_c >= 1: the SVM of (K, Q) (theory 3.4; docs/svm-nuclear.md)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace, namespace_of
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.face import Pairing, pad, symmetric_parts
from marginflow.svm.spectral.first_order import Point
from marginflow.svm.spectral.interior_point import NEVER, Pair
from marginflow.svm.spectral.nuclear_conjugate import NuclearSystem
from marginflow.svm.spectral.nuclear_interior import nuclear_interior
from marginflow.svm.spectral.solve_spectral import Progress, solve_spectral


class Nuclear:
    """The sum of singular values; its dual is the largest one."""

    balance = 2.0
    low_rank = True
    polish = 0.06
    again = 1.3

    def prox(self, Y: Floats, tau: float) -> tuple[Floats, float]:
        """Singular value thresholding, through the smaller of Y'Y and YY' (docs/svm-nuclear.md)."""
        xp, tall = namespace_of(Y), Y.shape[0] >= Y.shape[1]
        square, V = xp.eigh(Y.T @ Y if tall else Y @ Y.T)
        first = int((square <= tau * tau).sum())
        if first == len(square):
            return xp.zeros(Y.shape, Y), 0.0
        s = xp.module.sqrt(square[first:])
        V = V[:, first:]
        value = float(s.sum() - tau * len(s))
        if tall:
            return (Y @ V) @ ((1.0 - tau / s)[:, None] * V.T), value
        return ((1.0 - tau / s) * V) @ (V.T @ Y), value

    def value(self, W: Floats) -> float:
        """The sum of the singular values of `W`."""
        return float(namespace_of(W).singular_values(W).sum())

    def dual_value(self, B: Floats) -> float:
        """The largest singular value of `B`."""
        square = namespace_of(B).eigenvalues(B.T @ B if B.shape[0] >= B.shape[1] else B @ B.T)
        return float(namespace_of(B).module.sqrt(square[-1:].clip(0.0))[0])

    def face(self, s: Floats, omega: float, shape: tuple[int, int]) -> "NuclearFace":
        """The face at Y = omega W + B: W where s > 1 (docs/svm-nuclear.md, 3.2)."""
        w, b = np.maximum(s - 1.0, 0.0) / omega, np.minimum(s, 1.0)
        on = s > 1.0
        distance = np.where(on, 1.0, np.maximum((1.0 - b) * (1.0 + b), 1e-300))
        rho = np.where(on, 0.25, 1.0 / distance)
        kappa = np.where(on, -0.25, b / distance)
        f = (pad(w, shape[0], 0.0), pad(w, shape[1], 0.0))
        g = (pad(rho, shape[0], 1.0), pad(rho, shape[1], 1.0))
        return NuclearFace(w, int(on.sum()), Pairing(f, g, kappa))

    def patience(self, A: Operator) -> int:
        """An interior point solve costs as much as some C first-order steps; C x C matrices must fit."""
        return 40 + len(A) // 2 if len(A) <= INTERIOR else NEVER

    def interior(self, A: Operator, guess: Point) -> Iterator[Pair]:
        """The steps of `nuclear_interior`."""
        return nuclear_interior(A, guess)


INTERIOR = 3000  # constraints above which the interior point's C x C matrix is too large


@dataclass(frozen=True, eq=False)
class NuclearFace:
    """W = U1 diag(w) V1' of rank r, and B = U1 V1' + what is below 1; W is free in U1 sym V1'."""

    w: Floats
    rank: int
    pairing: Pairing

    @property
    def value(self) -> float:
        """The nuclear norm of W."""
        return float(self.w.sum())

    def psi(self, M: Floats) -> Floats:
        """The change of W for a change of B off the face's symmetric block."""
        return self.pairing.psi(M)

    def gram(self, a: Floats, z: Floats, sample: Ints) -> Floats:
        """(J, J) the lower triangle of <A_k, Psi(A_l)>."""
        return self.pairing.gram(a, z, sample)

    def equations(self, a: Floats, z: Floats) -> tuple[Floats, Floats]:
        """svec(sym(U1' B V1)) = svec(I), one row per entry on and above the diagonal."""
        i, j = np.triu_indices(self.rank)
        return symmetric_parts(a, z, self.rank), np.where(i == j, 1.0, 0.0)

    def free(self, multipliers: Floats) -> Floats:
        """The symmetric matrix with this svec, on the face."""
        f = self.pairing.f
        M = np.zeros((len(f[0]), len(f[1])))
        i, j = np.triu_indices(self.rank)
        M[i, j] = M[j, i] = np.where(i == j, multipliers, np.sqrt(0.5) * multipliers)
        return M

    def without_matrix(self, A: Operator, U: Floats, Vt: Floats) -> NuclearSystem:
        """By conjugate gradients."""
        return NuclearSystem(A, U, Vt, self.rank, self.pairing)


def solve_nuclear(
    svm: Svm,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
    xp: AbstractNamespace = NUMPY,
) -> Candidate:
    """Minimise the nuclear norm to a relative gap of about `tol` / 4, by the solver's own estimate.

    Args:
        svm: C >= 1 constraints, none of them zero.
        tol: the relative gap that the certificate should reach.
        progress: called as progress(iteration, gap) a few times per second.
        start: a solution of similar constraints to start from.
        xp: where products with the constraints are made, and first-order steps.

    Returns:
        The best primal and dual found, whether or not the tolerance was met, and the ray that proves the
        data infeasible where there is one.
    """
    return solve_spectral(svm, Nuclear(), tol, progress=progress, start=start, xp=xp)

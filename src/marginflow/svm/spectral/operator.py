"""min ||W||_op subject to a_c' W z_c >= 1: the SVM of spectral descent (theory 3.4; docs/svm.md)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace, namespace_of
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.spectral.face import Pairing, pad
from marginflow.svm.spectral.first_order import Point
from marginflow.svm.spectral.interior_point import NEVER, Pair
from marginflow.svm.spectral.nuclear import solve_nuclear
from marginflow.svm.spectral.operator_interior import operator_interior
from marginflow.svm.spectral.solve_spectral import Progress, solve_spectral


class OperatorNorm:
    """The largest singular value; its dual is their sum."""

    balance = 0.3
    low_rank = False
    polish = 0.03
    again = 2.0

    def prox(self, Y: Floats, tau: float) -> tuple[Floats, float]:
        """Clip the singular values at the level theta with sum (s - theta)_+ = tau."""
        xp, tall = namespace_of(Y), Y.shape[0] >= Y.shape[1]
        square, V = xp.eigh(Y.T @ Y if tall else Y @ Y.T)
        s = xp.module.sqrt(square.clip(0.0))
        theta = level(xp.get(s), tau)
        if theta <= 0.0:
            return xp.zeros(Y.shape, Y), 0.0
        first = int((s <= theta).sum())
        s, V = s[first:], V[:, first:]
        cut = (s - theta) / s
        if tall:
            return Y - (Y @ V) @ (cut[:, None] * V.T), theta
        return Y - (cut * V) @ (V.T @ Y), theta

    def value(self, W: Floats) -> float:
        """The largest singular value of `W`."""
        return float(namespace_of(W).singular_values(W)[0])

    def dual_value(self, B: Floats) -> float:
        """The sum of the singular values of `B`."""
        return float(namespace_of(B).singular_values(B).sum())

    def face(self, s: Floats, omega: float, shape: tuple[int, int]) -> "OperatorFace":
        """The face at Y = omega W + B: B where s > theta, W at its top there (docs/svm-nuclear.md, 3.3)."""
        theta = level(s[::-1], 1.0)
        on = s > theta
        top = theta / omega
        w = np.minimum(s, theta) / omega
        inverse = np.where(on, 1.0 / np.maximum(s - theta, 1e-300), 0.0)
        off = np.where(on, 0.0, top)
        f = (pad(inverse, shape[0], 0.0), pad(inverse, shape[1], 0.0))
        g = (pad(off, shape[0], top), pad(off, shape[1], top))
        r = int(on.sum())
        b = s[:r] - theta
        return OperatorFace(w, top, r, Pairing(f, g, np.where(on, 0.0, -w)), top / (b[:, None] + b))

    def patience(self, A: Operator) -> int:
        """At once while the equations in the D entries of W are small, late or never when they are not."""
        D, C = A.shape[0] * A.shape[1], len(A)
        if D <= AT_ONCE and C <= 8 * AT_ONCE:
            return 0
        return 300 + D if D <= ENTRIES and C * D <= ROWS else NEVER

    def interior(self, A: Operator, guess: Point) -> Iterator[Pair]:
        """The steps of `operator_interior`, which needs no guess."""
        some = np.flatnonzero(~A.equal)
        rows, d = A.written_out(some), A.shape[0]
        E = A.written_out(np.flatnonzero(A.equal))
        inside = _allowed(E)[None] if len(E) else None
        state = operator_interior(rows[None], A.h[some][None], A.unit[some][None], A.shape, inside)
        dual = np.zeros(len(A))
        while True:
            dual[some] = state.dual[0]
            if len(E):
                # -2 Z12 is B = sum lambda A + sum mu A_e at the end.
                left = -2.0 * state.Z[0, :d, d:].ravel() - state.dual[0] @ rows
                dual[A.equal] = np.linalg.lstsq(E.T, left, rcond=1e-12)[0]
            yield state.W[0], dual.copy()
            state = state.advance()


AT_ONCE = 150  # entries of W up to which interior points beat first-order steps, measured
ENTRIES = 2500  # entries of W above which the interior point's D x D matrix is too large
ROWS = 5_000_000  # entries of its constraints written out


@dataclass(frozen=True, eq=False)
class OperatorFace:
    """B = U1 diag(b) V1' of rank r, W = top U1 V1' + a part below top; W is free off the face and in top.

    Attributes:
        w: (p,) singular values of W.
        value: top, the operator norm of W.
        rank: r.
        pairing: the curvature between the face and the rest.
        skew: (r, r) top / (b_i + b_j), the curvature of the skew part on the face: not separable.
    """

    w: Floats
    value: float
    rank: int
    pairing: Pairing
    skew: Floats

    def psi(self, M: Floats) -> Floats:
        """The change of W for a change of B off the free block."""
        out, r = self.pairing.psi(M), self.rank
        out[:r, :r] += namespace_of(M).put(self.skew) * (M[:r, :r] - M[:r, :r].T)
        return out

    def gram(self, a: Floats, z: Floats, sample: Ints) -> Floats:
        """(J, J) the lower triangle of <A_k, Psi(A_l)>."""
        H = self.pairing.gram(a, z, sample)
        # One row per pair of face directions, a block at a time to bound the memory.
        x, y = np.ascontiguousarray(a[:, : self.rank].T), np.ascontiguousarray(z[sample, : self.rank].T)
        root = np.sqrt(self.skew)
        for i in range(0, self.rank - 1, BLOCK):
            S = np.concatenate(
                [
                    root[j, j + 1 :, None] * (x[j] * y[j + 1 :] - x[j + 1 :] * y[j])
                    for j in range(i, min(i + BLOCK, self.rank - 1))
                ]
            )
            H += S.T @ S
        return H

    def equations(self, a: Floats, z: Floats) -> tuple[Floats, Floats]:
        """U0' B V0 = 0 off the face, and tr U1' B V1 = N_d(B) = 1."""
        r = self.rank
        off = (a[:, r:, None] * z[:, None, r:]).reshape(len(a), -1)
        trace = np.einsum("ci,ci->c", a[:, :r], z[:, :r])
        e = np.zeros(off.shape[1] + 1)
        e[-1] = 1.0
        return np.column_stack((off, trace)), e

    def free(self, multipliers: Floats) -> Floats:
        """The block off the face, and a change of the top on it."""
        r, f = self.rank, self.pairing.f
        M = np.zeros((len(f[0]), len(f[1])))
        M[r:, r:] = multipliers[:-1].reshape(M[r:, r:].shape)
        M[np.arange(r), np.arange(r)] = multipliers[-1]
        return M

    def without_matrix(self, A: Operator, U: Floats, Vt: Floats) -> None:
        """Not tried: what is locked here is a block of nearly full rank."""


BLOCK = 16  # face directions per block of the skew part


def _allowed(E: Floats) -> Floats:
    """(D + 1, m) orthonormal changes of (W, t) that the equalities `E` (e, D) do not see."""
    count, D = E.shape
    Q = np.linalg.qr(E.T, mode="complete")[0][:, count:]
    out = np.zeros((D + 1, Q.shape[1] + 1))
    out[:D, :-1], out[D, -1] = Q, 1.0
    return out


def level(s: Floats, total: float) -> float:
    """theta with sum_i (s_i - theta)_+ = `total` for ascending s >= 0; 0 when sum s <= total."""
    if s.sum() <= total:
        return 0.0
    sums = np.cumsum(s[::-1])
    theta = (sums - total) / np.arange(1, len(s) + 1)
    return float(theta.max())


def solve_operator(
    svm: Svm,
    tol: float,
    *,
    progress: Progress | None = None,
    start: Candidate | None = None,
    xp: AbstractNamespace = NUMPY,
) -> Candidate:
    """Minimise the operator norm; arguments and result as `solve_nuclear`."""
    if min(svm.shape) == 1:
        # One singular value: all unitarily invariant norms are the Euclidean one.
        return solve_nuclear(svm, tol, progress=progress, start=start, xp=xp)
    return solve_spectral(svm, OperatorNorm(), tol, progress=progress, start=start, xp=xp)

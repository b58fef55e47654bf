"""How fast separate keys and queries approach the nuclear SVM, from its solution alone (docs/theory.md 5.7).

In the time x = log |W|_* the late flow is dW^/dx = M[A*p] - W^ on the face where the active margins are 1,
with M[G] = (|W^'| G + G |W^|)/2 and p the multipliers that keep them 1. Around the optimum, in the singular
bases of the dual matrix, a perturbation X decays at a rate that depends on its block: 0 on the symmetric part
of the support block, 1 on its antisymmetric part, (1 -+ rho_j)/2 on the (anti)symmetric parts of the mixed
blocks. The constraints tie the blocks together: the rates of the flow are the eigenvalues of that diagonal
operator compressed to the perturbations that no active constraint sees, in the metric of M.
"""

import math
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints, frozen
from marginflow.diagnostics.spectrum import dual_spectrum
from marginflow.errors import UndefinedError
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class Pace:
    """Rates at which a generic late flow approaches the optimum, as powers of the margin.

    Attributes:
        rates: (r,) ascending; perturbations of the support and mixed blocks decay as margin^-rate.
        slowest: (d, d_z) the perturbation that decays at rates[0], of unit size; zero when r = 0.
        off_support: 1 - rho, the rate of the off-support block; rho is the largest rho_j below 1.
        rank: of the optimum.
        active: constraints with a positive multiplier.
    """

    rates: Floats
    slowest: Floats
    off_support: float
    rank: int
    active: int

    @property
    def power(self) -> float:
        """The predicted power of R - 1 in the margin.

        R sees the support block to first order; at rank 1 that block is fixed by the margin and only the
        off-support share is left.
        """
        first = [float(self.rates[0])] if self.rank > 1 and len(self.rates) else []
        return -min([*first, self.off_support])


def pace(solution: Solution, tolerance: float = 1e-7) -> Pace:
    """The rates around a nuclear-norm solution.

    Args:
        solution: of the nuclear norm, solved tightly.
        tolerance: relative size below which singular values, multipliers and 1 - rho^2 count as 0.

    Raises:
        UndefinedError: another norm, no optimum, or an optimum to which the linearisation does not apply: not
            strictly complementary (the dual matrix has more unit singular values than W has rank).
    """
    if solution.norm.name != "nuclear" or solution.status is not SvmStatus.optimal:
        got = f"{solution.norm.name}, {solution.status.name}"
        raise UndefinedError(f"pace: got {got}; expected an optimum of the nuclear norm")
    rows = solution.constraints
    dual = dual_spectrum(rows.adjoint(solution.dual), tolerance)
    r = dual.support
    U, V = _complete(dual.left), _complete(dual.right)
    face = U[:, :r].T @ solution.W @ V[:, :r]
    sigma, turn = np.linalg.eigh((face + face.T) / 2)
    if sigma[0] <= tolerance * sigma[-1]:
        raise UndefinedError(
            f"pace: the dual matrix has {r} unit singular values and W a smaller rank; the linearisation "
            "needs strict complementarity"
        )
    U[:, :r], V[:, :r] = U[:, :r] @ turn, V[:, :r] @ turn
    unit = _perturbations(rows.shape, sigma, dual.rho)
    on = solution.dual > tolerance * solution.dual.max()
    seen = unit.seen_by(rows.a[on] @ U, rows.queries[on] @ V)
    _, s, right = np.linalg.svd(seen * np.sqrt(unit.metric))
    free = right[int((s > tolerance * s[0]).sum()) :].T
    rates, modes = np.linalg.eigh(free.T @ (unit.rate[:, None] * free))
    slowest = np.zeros(rows.shape)
    if len(rates):
        slowest = U @ unit.matrix(np.sqrt(unit.metric) * (free @ modes[:, 0]), rows.shape) @ V.T
        slowest /= np.linalg.norm(slowest)
    return Pace(frozen(np.asarray(rates)), frozen(slowest), 1.0 - dual.slowest, r, int(on.sum()))


@dataclass(frozen=True, eq=False)
class _Perturbations:
    """`p` unit perturbations, `first` at entry (i, j) plus `second` at (j, i): their rates and metric."""

    i: Ints
    j: Ints
    first: Floats
    second: Floats
    rate: Floats
    metric: Floats

    def seen_by(self, a: Floats, z: Floats) -> Floats:
        """(C, p) what constraints a_c z_c' see; entries outside the matrix have coefficient 0."""
        i_a, j_a = np.minimum(self.i, a.shape[1] - 1), np.minimum(self.j, a.shape[1] - 1)
        i_z, j_z = np.minimum(self.i, z.shape[1] - 1), np.minimum(self.j, z.shape[1] - 1)
        return np.asarray(self.first * a[:, i_a] * z[:, j_z] + self.second * a[:, j_a] * z[:, i_z])

    def matrix(self, size: Floats, shape: tuple[int, int]) -> Floats:
        """(d, d_z) the sum of the perturbations, each `size` (p,) long."""
        out = np.zeros(shape)
        one, other = self.first != 0, self.second != 0
        np.add.at(out, (self.i[one], self.j[one]), (self.first * size)[one])
        np.add.at(out, (self.j[other], self.i[other]), (self.second * size)[other])
        return out


def _perturbations(shape: tuple[int, int], sigma: Floats, rho: Floats) -> _Perturbations:
    """Every unit perturbation outside the off-support block."""
    r, k = len(sigma), len(rho)
    half = math.sqrt(0.5)
    table: list[tuple[int, int, float, float, float, float]] = []
    for i in range(r):
        table.append((i, i, 1.0, 0.0, 0.0, sigma[i]))
        for j in range(i + 1, r):
            table.append((i, j, half, half, 0.0, (sigma[i] + sigma[j]) / 2))
            table.append((i, j, half, -half, 1.0, (sigma[i] + sigma[j]) / 2))
        for j in range(r, k):
            table.append((i, j, half, half, (1.0 - rho[j]) / 2, sigma[i] / 2))
            table.append((i, j, half, -half, (1.0 + rho[j]) / 2, sigma[i] / 2))
        # Directions of the longer side beyond the k singular values have rho = 0 and no partner.
        for j in range(k, shape[1]):
            table.append((i, j, 1.0, 0.0, 0.5, sigma[i] / 2))
        for j in range(k, shape[0]):
            table.append((i, j, 0.0, 1.0, 0.5, sigma[i] / 2))
    columns = np.array(table).T
    return _Perturbations(columns[0].astype(np.intp), columns[1].astype(np.intp), *columns[2:])


def _complete(basis: Floats) -> Floats:
    """`basis` (d, k), orthonormal, with columns added to (d, d)."""
    rest = np.linalg.svd(basis)[0][:, basis.shape[1] :]
    return np.hstack([basis, rest])

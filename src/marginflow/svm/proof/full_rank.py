"""Exact multipliers next to those of floats, shown through a Gram matrix: for more rows than can be written out.

Let r_c = A_c / s_c be rows S that span all D weights, G = sum_S r_c r_c' >= mu I, and b = |sum lambda_c A_c|_F. Then
lambda_c + d_c with s_c d_c = -r_c' G^-1 (sum lambda A) on S is an exact solution, and
|s_c d_c| <= sqrt(r_c' G^-1 r_c) b / sqrt(mu) <= b / sqrt(mu), as r_c r_c' <= G (derived in docs/svm.md, Infeasibility).
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.linalg import cholesky
from scipy.linalg.blas import dsyrk

from marginflow import rounding
from marginflow.arrays import Floats, Ints, starts_of_runs
from marginflow.norms import Frobenius
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import dual_matrix
from marginflow.svm.scaling.operator import Operator
from marginflow.svm.scaling.unit_rows import Rows


def exact_ones_near(svm: Svm, dual: Floats) -> bool:
    """Whether multipliers that cancel exactly lie next to `dual` (C,), positive where it is but for equalities."""
    D = math.prod(svm.shape)
    count = D + D // 8 + 8
    size = np.abs(dual) * svm.rows.scale.size * svm.rows.scale.unit
    if D > LARGEST or np.count_nonzero(size) < count:
        return False
    # Equalities first: their multipliers may change as they like.
    order = np.argsort(np.where(svm.constraints.equal & (size > 0.0), -math.inf, -size), kind="stable")
    chosen = np.sort(order[:count])
    signed = chosen[~svm.constraints.equal[chosen]]
    least = float(size[signed].min(initial=math.inf))
    if not 0.0 < least < math.inf:
        return False
    left = Frobenius().dual_upper(*dual_matrix(svm, dual))
    share = 3.0 * left / least
    wanted = share * share  # inf where share ** 2 would raise
    # A factor 2 covers that the lengths s_c are known to many digits only.
    return 2.0 * left < rounding.down(math.sqrt(_least_eigenvalue(svm, chosen, wanted)), 4) * least


def _least_eigenvalue(svm: Svm, chosen: Ints, wanted: float) -> float:
    """A lower bound of mu for the rows `chosen`, at most about `wanted`; 0 where none is shown."""
    # Up to the next power of two, so that a proof and the multipliers that it hands over ask the same.
    return _shown(svm, tuple(chosen.tolist()), math.ldexp(1.0, math.frexp(wanted)[1]))


@lru_cache(maxsize=2)
def _shown(svm: Svm, chosen: tuple[int, ...], wanted: float) -> float:
    """When Cholesky's method runs through on A of order D, A + g tr(A) / (1 - g) I >= 0 with g = gamma(D + 1) (Higham,
    Accuracy and Stability of Numerical Algorithms, theorem 10.3).
    """
    rows = svm.rows.restrict(np.array(chosen))
    count, D = len(rows), rows.dimension
    G, trace = _gram(rows)
    # Entries of rows carry a few roundings of their own: of the difference, of two lengths, of a product.
    lost = rounding.up((rounding.gamma(count + 24) + rounding.gamma(D + 2) * (1.0 + 1e-9)) * trace, 4)
    shift = wanted + 2.0 * lost
    return max(shift * (1.0 - 4 * rounding.U) - lost, 0.0) if runs_through(G, shift) else 0.0


def runs_through(G: Floats, shift: float) -> bool:
    """Whether Cholesky's method does on G - `shift` I, of the lower triangle of `G`, which is overwritten."""
    G[np.diag_indices_from(G)] -= shift
    try:
        cholesky(G, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return False
    return True


def _gram(rows: Rows) -> tuple[Floats, float]:
    """(D, D) the lower triangle of G = sum r_c r_c', and an upper bound of its trace.

    Of rows a_c z_i' every product of two entries of a, summed over the constraints of a query, and of two of z is made
    once: G is one product of (n, d (d + 1) / 2) and (n, d_z (d_z + 1) / 2), a quarter of the work for n = C and no row
    written out; where those are more numbers than the rows, these are. A term goes through the three products and at
    most C - 1 additions, as it does in R'R.
    """
    A = rows.structured
    if A is None or rows.dense is not None or not _in_pairs(A):
        written = rows.written_out()
        assert written is not None
        return dsyrk(1.0, written.T, lower=1), rounding.sum_up(written * written, 1)
    (d, d_z), z = A.shape, A.queries
    row, column = np.triu_indices(d)
    first, second = np.triu_indices(d_z)
    a_pairs = np.add.reduceat(A.a[:, row] * A.a[:, column], starts_of_runs(A.sample), axis=0)
    pairs = a_pairs.T @ (z[:, first] * z[:, second])
    place = np.empty((d_z, d_z), dtype=np.intp)
    place[first, second] = place[second, first] = np.arange(len(first))
    upper = np.empty((d, d_z, d, d_z))
    for pair, j, k in zip(pairs, row, column, strict=True):
        upper[j, :, k] = pair[place]
    lengths = (A.a * A.a).sum(axis=1) * (z * z).sum(axis=1)[A.sample]
    return upper.reshape(d * d_z, d * d_z).T, rounding.sum_up(lengths, d + d_z + 1)


def _in_pairs(A: Operator) -> bool:
    """Whether neither the pairs of entries of a nor those of z are more numbers than the rows written out."""
    (d, d_z), C, n = A.shape, len(A), len(A.queries)
    return d + 1 <= 2 * d_z and n * (d_z + 1) <= 2 * C * d


LARGEST: Final = 4096
"""Most weights: G is a matrix of so many rows and columns, 134 MB."""

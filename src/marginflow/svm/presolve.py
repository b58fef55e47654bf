"""Row scaling, exact reductions and the constraint operator in batched layout (design 6, "Presolve")."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.problem.constraints import Constraints


@dataclass(frozen=True, eq=False)
class Operator:
    """The map A: W -> (a_c' W z_c)_c with unit a_c and z_c, laid out as a batch of small matrices.

    One batched product serves all samples: `margins` never gathers a row of W z_i per constraint, which is
    eight times slower. A sample with many more constraints than the others is split over several batch rows.

    Attributes:
        a: (C, d) unit rows.
        sample: (C,) int, which row of `queries` each constraint uses; nondecreasing.
        queries: (n, d_z) unit rows.
        h: (C,) positive right-hand sides.
        batch: (B, t, d) rows of `a` in batch order, padded with zeros.
        z: (B, d_z) the query of each batch row.
        slot: (C,) int position of each constraint in the (B, t) grid, or None when the grid has no padding.
    """

    a: Floats
    sample: Ints
    queries: Floats
    h: Floats
    batch: Floats
    z: Floats
    slot: Ints | None

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, d_z) of W."""
        return self.a.shape[1], self.queries.shape[1]

    def __len__(self) -> int:
        return len(self.a)

    def margins(self, W: Floats) -> Floats:
        """(C,) a_c' W z_c of `W` (d, d_z)."""
        flat: Floats = np.matmul(self.batch, (self.z @ W.T)[:, :, None]).ravel()
        return flat if self.slot is None else flat[self.slot]

    def adjoint(self, dual: Floats) -> Floats:
        """(d, d_z) sum_c dual_c a_c z_c' of `dual` (C,)."""
        if self.slot is not None:
            grid = np.zeros(self.batch.shape[0] * self.batch.shape[1])
            grid[self.slot] = dual
            dual = grid
        pulled = np.matmul(dual.reshape(self.batch.shape[0], 1, -1), self.batch)
        return pulled[:, 0, :].T @ self.z

    def restrict(self, keep: Ints) -> "Operator":
        """The operator of the constraints `keep` (increasing indices)."""
        return batched(self.a[keep], self.sample[keep], self.queries, self.h[keep])

    def bound(self) -> float:
        """An estimate of ||A||: 16 steps of power iteration on A'A, within a percent in practice."""
        W = self.adjoint(np.ones(len(self)))
        square = 0.0
        for _ in range(16):
            length = float(np.linalg.norm(W))
            if length == 0.0:
                return float(np.sqrt(len(self)))
            W = self.adjoint(self.margins(W / length))
            square = float(np.linalg.norm(W))
        return float(np.sqrt(square))


def batched(a: Floats, sample: Ints, queries: Floats, h: Floats) -> Operator:
    """Choose the batch layout: rows of `t` constraints each, t with the least work over all samples."""
    counts = np.bincount(sample, minlength=len(queries))
    used = np.flatnonzero(counts)
    counts = counts[used]
    longest = int(counts.max())
    if counts.min() == longest:
        z = queries if len(used) == len(queries) else queries[used]
        return Operator(a, sample, queries, h, a.reshape(len(used), longest, -1), z, None)
    sizes = np.unique(np.ceil(longest / np.arange(1, 1 + min(longest, 32))).astype(int))
    # A batch row costs about as much as four constraints, whatever it holds.
    work = [int((-(-counts // t)).sum()) * (t + 4) for t in sizes]
    t = int(sizes[int(np.argmin(work))])
    rows = -(-counts // t)
    first = np.repeat(np.cumsum(rows) - rows, counts) * t
    within = np.arange(len(a)) - np.repeat(np.cumsum(counts) - counts, counts)
    slot = first + within
    batch = np.zeros((int(rows.sum()) * t, a.shape[1]))
    batch[slot] = a
    z = queries[np.repeat(used, rows)]
    return Operator(a, sample, queries, h, batch.reshape(-1, t, a.shape[1]), z, slot)


@dataclass(frozen=True, eq=False)
class Presolved:
    """A scaled, reduced problem and the way back to the user's.

    With W = left W~ right', lambda_c = dual~_c / size_c the two problems have the same N(W) and N_d(A* lambda)
    up to one common factor each (derived in docs/svm-nuclear.md).

    Attributes:
        operator: the scaled constraints a_c' W~ z_c >= h_c, geometric mean of h = 1.
        left: (d, C) orthonormal columns, or None when the rows were not reduced.
        right: (d_z, n) orthonormal columns, or None.
        size: (C,) |a_c| |z_c| relative to its geometric mean.
    """

    operator: Operator
    left: Floats | None
    right: Floats | None
    size: Floats

    def restore(self, W: Floats) -> Floats:
        """(d, d_z) the user's W, up to a positive factor, of the reduced `W`."""
        W = W if self.left is None else self.left @ W
        return W if self.right is None else W @ self.right.T

    def restore_dual(self, dual: Floats) -> Floats:
        """(C,) the user's lambda, up to a positive factor, of the scaled `dual`."""
        return dual / self.size

    def reduce(self, W: Floats) -> Floats:
        """The reduced part of the user's `W`."""
        W = W if self.left is None else self.left.T @ W
        return W if self.right is None else W @ self.right


def presolve(constraints: Constraints) -> Presolved:
    """Scale every row to unit length and drop the dimensions that no constraint sees.

    The rows must not be zero (`zero_row` finds those first). Row scaling is essential: without it data whose
    rows differ by 1e10 stall at a gap near 1 (design 6).
    """
    rows = np.linalg.norm(constraints.a, axis=1)
    lengths = np.linalg.norm(constraints.z, axis=1)
    # Norms are taken apart, so that their product cannot overflow before the geometric mean is divided out.
    logs = np.log(rows) + np.log(lengths[constraints.sample])
    size = np.exp(logs - logs.mean())
    a = constraints.a / rows[:, None]
    z = constraints.z / np.where(lengths > 0, lengths, 1.0)[:, None]  # a query may be zero if nothing uses it
    left = right = None
    if len(a) < a.shape[1]:
        left, a = _compress(a)
    if len(z) < z.shape[1]:
        right, z = _compress(z)
    return Presolved(batched(a, constraints.sample, z, 1.0 / size), left, right, size)


def _compress(rows: Floats) -> tuple[Floats, Floats]:
    """(Q, rows Q) with orthonormal columns Q that span the rows: exact, since a'W z only sees Q'W."""
    basis, coordinates = np.linalg.qr(rows.T)
    return basis, np.ascontiguousarray(coordinates.T)


def zero_row(constraints: Constraints) -> int | None:
    """The first constraint 0 >= 1, which no W satisfies; None when there is none."""
    zero = ~constraints.a.any(axis=1) | ~constraints.z.any(axis=1)[constraints.sample]
    return int(zero.argmax()) if zero.any() else None

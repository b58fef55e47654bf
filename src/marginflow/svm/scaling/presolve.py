"""Exact reductions of the scaled constraints: the dimensions of W that no constraint sees drop out."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.scaling.operator import Operator, batched
from marginflow.svm.scaling.unit_rows import Scale, unit_vectors


@dataclass(frozen=True, eq=False)
class Presolved:
    """A scaled, reduced problem and the way back to the user's.

    W = left W~ right' / unit and lambda_c = dual~_c / (unit size_c) have margins margin~_c / h_c, the norm N(W~) / unit
    and the dual matrix of the reduced problem (docs/svm-nuclear.md, section 1); `Scale` has size and unit.

    Attributes:
        operator: the scaled constraints a_c' W~ z_c >= h_c, geometric mean of h = 1.
        left: (d, C) orthonormal columns, or None when the rows were not reduced.
        right: (d_z, n) orthonormal columns, or None.
        scale: of the rows.
    """

    operator: Operator
    left: Floats | None
    right: Floats | None
    scale: Scale

    def restore(self, W: Floats) -> Floats:
        """(d, d_z) the user's W of the reduced `W`."""
        W = self.scale.restore(W)
        W = W if self.left is None else self.left @ W
        return W if self.right is None else W @ self.right.T

    def restore_dual(self, dual: Floats) -> Floats:
        """(C,) the user's lambda of the scaled `dual`."""
        return self.scale.restore_dual(dual)

    def reduce_dual(self, dual: Floats) -> Floats:
        """(C,) the scaled multipliers of the user's `dual`."""
        return self.scale.reduce_dual(dual)

    def reduce(self, W: Floats) -> Floats:
        """The reduced W of the user's `W`."""
        W = self.scale.reduce(W)
        W = W if self.left is None else self.left.T @ W
        return W if self.right is None else W @ self.right


def presolve(constraints: Constraints) -> Presolved:
    """Scale every row to unit length and drop the dimensions that no constraint sees; no row may be zero."""
    a, a_length = unit_vectors(constraints.a)
    z, z_length = unit_vectors(constraints.z)
    scale = Scale.of(a_length, z_length[constraints.sample])
    left = right = None
    if len(a) < a.shape[1]:
        left, a = _compress(a)
    if len(z) < z.shape[1]:
        right, z = _compress(z)
    operator = batched(a, constraints.sample, z, scale.unit_margins, constraints.level, constraints.equal)
    return Presolved(operator, left, right, scale)


def _compress(rows: Floats) -> tuple[Floats, Floats]:
    """(Q, rows Q) with orthonormal columns Q that span the rows: exact, since a'W z only sees Q'W."""
    basis, coordinates = np.linalg.qr(rows.T)
    return basis, np.ascontiguousarray(coordinates.T)

"""How far K, Q and the force are from sharing their singular spaces (docs/theory.md 3.9).

Comparing singular vectors is ill-posed where singular values are close. The criterion used instead needs no
decomposition: real matrices A and B of one shape have a common pair of singular bases iff A'B and AB' are
symmetric (Eckart & Young 1939; proof in docs/theory.md 3.9). The defects below are exactly 0 for diagonal
factors and forces, and are not changed by rotations.
"""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats


@dataclass(frozen=True)
class Alignment:
    """Defects of the three conditions, each 0 when it holds and of order 1 for generic matrices.

    Attributes:
        force: W = KQ' and G share singular spaces: |W'G - G'W|_F + |WG' - GW'|_F over 2 |W||G|.
        inner: K and Q share the right basis: |[K'K, Q'Q]|_F over |K'K||Q'Q|.
        rates: K'(GQ), the rate of K seen from K, is symmetric: |K'GQ - Q'G'K|_F over |K||G||Q|.
    """

    force: float
    inner: float
    rates: float

    @property
    def worst(self) -> float:
        """The largest of the three."""
        return max(self.force, self.inner, self.rates)


def shared_spaces(A: Floats, B: Floats) -> float:
    """The defect of `A` and `B`, both (d, d_z) or (H, d, d_z), having common singular bases (every head its own)."""
    size = 2.0 * _norm(A) * _norm(B)
    if size == 0.0:
        return 0.0
    left, right = A @ _turned(B), _turned(A) @ B
    return (_norm(left - _turned(left)) + _norm(right - _turned(right))) / size


def alignment(K: Floats, Q: Floats, G: Floats) -> Alignment:
    """The defects for keys K (d, m), queries Q (d_z, m) and force G (d, d_z)."""
    KK, QQ = K.T @ K, Q.T @ Q
    commutator = KK @ QQ - QQ @ KK
    seen = K.T @ G @ Q
    return Alignment(
        force=shared_spaces(K @ Q.T, G),
        inner=_ratio(_norm(commutator), _norm(KK) * _norm(QQ)),
        rates=_ratio(_norm(seen - seen.T), _norm(K) * _norm(G) * _norm(Q)),
    )


def subspace_angle(U: Floats, V: Floats) -> float:
    """sin of the largest angle between the spaces of orthonormal `U` (d, r) and `V` (d, r); in [0, 1]."""
    # The residual keeps small angles accurate where 1 - cos^2 would cancel.
    return min(1.0, float(np.linalg.norm(V - U @ (U.T @ V), 2)))


def distance_to_spaces(W: Floats, left: Floats, right: Floats) -> float:
    """|W - PWP'|_F / |W|_F for the projectors on the spaces of `left` (d, r) and `right` (d_z, r)."""
    inside = left @ (left.T @ W @ right) @ right.T
    return _ratio(_norm(W - inside), _norm(W))


def _turned(M: Floats) -> Floats:
    return np.swapaxes(M, -1, -2)


def _norm(M: Floats) -> float:
    return float(np.linalg.norm(M))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

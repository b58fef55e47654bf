"""The least weights with given log-ratios of shares: the finite part that W keeps beside what grows (theory 10.4)."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.constraints import Constraints


@dataclass(frozen=True, eq=False)
class Span:
    """The span of equalities A_e, in orthonormal coordinates y: W = sum_e (V y)_e A_e, margins B y.

    Attributes:
        B: (E, r) the margins of the equalities for the coordinates.
        V: (E, r) the multipliers of the A_e that make W.
        independent: True where the A_e are known to be, beyond rounding.
    """

    B: Floats
    V: Floats
    independent: bool

    @classmethod
    def of(cls, rows: Constraints) -> "Span":
        """That of `rows`, all taken as equalities of one W."""
        G = rows.gram()
        spectrum, U = np.linalg.eigh(G)
        sizes = float(np.trace(G))
        doubt = 10.0 * (len(G) + rows.a.shape[1] + rows.z.shape[1]) * float(np.finfo(float).eps) * sizes
        keep = spectrum > max(doubt, 1e-12 * sizes)
        root = np.sqrt(spectrum[keep])
        return cls(U[:, keep] * root, U[:, keep] / root, bool(keep.all()))

    def weights(self, rows: Constraints, y: Floats) -> Floats:
        """(d, d_z), of several heads (H, d, d_z): the W of the coordinates y."""
        return rows.adjoint(self.V @ y)

    def coordinates(self, margins: Floats) -> tuple[Floats, float]:
        """The y whose margins are nearest to `margins` (E,), and the largest distance left."""
        y = self.V.T @ margins
        return y, float(np.abs(self.B @ y - margins).max(initial=0.0))


def part_in_span(W: Floats, rows: Constraints) -> Floats:
    """The part of W (d, d_z), or (H, d, d_z), along the equalities among `rows`: what stays finite in training.

    W less this part keeps every equality, and is what the SVM of the faces speaks of. Margins are taken to twice
    float64's precision: at 1e6 their rounding would be larger than what this part is off by.
    """
    equal = rows.restrict(rows.equal)
    if not len(equal):
        return np.zeros_like(W)
    span = Span.of(equal)
    return span.weights(equal, span.coordinates(equal.cancelling_margins(W, diagonal=False))[0])

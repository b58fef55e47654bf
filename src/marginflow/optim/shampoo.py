"""Shampoo with averages in place of sums: a preconditioner on each side of every matrix (arXiv 1802.09568)."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.momentum import check_beta
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.rate import Speed
from marginflow.optim.scaled import Scaled
from marginflow.optim.setting import Setting
from marginflow.optim.threshold import Threshold


class _State(NamedTuple):
    """Averages of g g' and of g'g."""

    left: Scaled
    right: Scaled


@dataclass(frozen=True)
class Shampoo(AbstractOptimiser):
    """theta <- theta - rate L^-1/4 g R^-1/4 with L <- beta L + (1 - beta) g g', R alike with g'g; without an eps.

    With beta = 0 that is the polar factor of g. Eigenvalues below rounding of the largest count as that.
    """

    beta: float = 0.95
    word: str = field(default="shampoo", init=False)
    matrices: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        check_beta("shampoo beta", self.beta)

    @property
    def label(self) -> str:
        """Shampoo and its memory."""
        return f"Shampoo, averages of beta {self.beta:g}"

    @property
    def ball(self) -> AbstractGeometry:
        return GEOMETRIES["spectral"]

    def init(self, arrays: Arrays) -> Any:
        square = {n: x @ x.transpose(0, 2, 1) for n, x in arrays.items()}
        other = {n: x.transpose(0, 2, 1) @ x for n, x in arrays.items()}
        return _State(Scaled.zero(square), Scaled.zero(other))

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        g, log = pull.arrays, 2.0 * pull.log
        new_left = Scaled({n: x @ x.transpose(0, 2, 1) for n, x in g.items()}, log)
        new_right = Scaled({n: x.transpose(0, 2, 1) @ x for n, x in g.items()}, log)
        left = state.left.plus(new_left, self.beta, 1.0 - self.beta)
        right = state.right.plus(new_right, self.beta, 1.0 - self.beta)
        out = {n: inverse_fourth_root(left.arrays[n]) @ x @ inverse_fourth_root(right.arrays[n]) for n, x in g.items()}
        return Scaled(out, pull.log - left.log / 4.0 - right.log / 4.0), _State(left, right)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The speed above which its averages of squares never forget."""
        if not self.beta:
            return ()
        return (Threshold("speed", math.log(1.0 / self.beta) / 2.0, f"log(1/beta)/2 of Shampoo, beta {self.beta:g}"),)

    def norm(self, setting: Setting) -> Prediction:
        """That of exact Muon, at speeds that the averages of squares can follow: below log(1/beta)/2."""
        expected = self.ball.norm(setting.parameterization)
        narrow = setting.parameterization.too_narrow(setting.problem.d, setting.problem.d_z, None)
        if narrow and expected.norm is not None:
            return expected.but("K and Q may be narrower than the optimum: capped in rank, it is not convex")
        if expected.norm is None or not self.beta:
            return expected
        limit = math.log(1.0 / self.beta) / 2.0
        gamma = setting.gamma(expected.norm)
        if gamma is None:
            return expected.but(
                f"whether the averages forget depends on a margin, and {setting.unsolved(expected.norm)}"
            )
        speed = setting.rate.rho if isinstance(setting.rate, Speed) else setting.speed(gamma, False)
        x = speed / limit
        if not x < 1.0:
            return expected.but(
                f"x = {x:.4g}, the margin's growth over log(1/beta)/2 = {limit:.4g}, is not below 1: the averages hold "
                f"old gradients (gamma = {gamma:.9g} certified)"
            )
        why = f"averages that forget make it the polar factor, x = {x:.4g} < 1 (gamma = {gamma:.9g} certified)"
        return with_decay_and_batch(Prediction(expected.norm, why), setting, linear=False)


def inverse_fourth_root(A: Floats) -> Floats:
    """A^-1/4 of symmetric positive semidefinite matrices (B, k, k)."""
    values, U = np.linalg.eigh(A)
    floor = np.finfo(float).eps * A.shape[1] * values[:, -1:]
    kept = np.maximum(values, floor)
    root = np.divide(1.0, np.sqrt(np.sqrt(kept)), out=np.zeros_like(kept), where=kept > 0.0)
    return np.asarray((U * root[:, None, :]) @ U.transpose(0, 2, 1))

"""Adam, and with decoupled decay AdamW: torch.optim.Adam and AdamW."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.momentum import check_beta
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.rate import Constant, Speed
from marginflow.optim.scaled import LARGEST, Scaled, spread
from marginflow.optim.setting import Setting
from marginflow.optim.threshold import Threshold


class _State(NamedTuple):
    """First moment; the root of the second, which does not underflow before the gradient does; steps taken."""

    first: Scaled
    root: Scaled
    steps: int


@dataclass(frozen=True)
class Adam(AbstractOptimiser):
    """m / (sqrt(v) + eps) of bias-corrected averages of g and g^2 (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    word: str = field(default="adam", init=False)

    def __post_init__(self) -> None:
        for name, beta in zip(("b1", "b2"), self.betas, strict=True):
            check_beta(f"adam {name}", beta)
        if not 0.0 <= self.eps < math.inf:
            raise InputError(f"adam eps: got {self.eps!r}; expected at least 0")

    @property
    def label(self) -> str:
        """Adam and its three numbers."""
        return f"Adam, betas {self.betas[0]:g}, {self.betas[1]:g}, eps {self.eps:g}"

    @property
    def ball(self) -> AbstractGeometry:
        return GEOMETRIES["sign"]

    def init(self, arrays: Arrays) -> Any:
        return _State(Scaled.zero(arrays), Scaled.zero(arrays), 0)

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        b1, b2 = self.betas
        first = state.first.plus(pull, b1, 1.0 - b1)
        root = _root_of_average(state.root, pull, b2)
        steps = state.steps + 1
        first_bias, root_bias = 1.0 - b1**steps, math.sqrt(1.0 - b2**steps)
        # Numerator and denominator are counted from the larger of sqrt(v) and eps.
        log_eps = math.log(self.eps) if self.eps else -math.inf
        top = np.maximum(root.log, log_eps)
        counted = np.where(np.isneginf(top), 0.0, top)
        share = np.exp(np.maximum(root.log - counted, -2.0 * LARGEST)) * (first_bias / root_bias)
        floor = np.exp(np.maximum(log_eps - counted, -2.0 * LARGEST)) * first_bias if self.eps else None
        out = {}
        for n, m in first.arrays.items():
            below = spread(share, m) * root.arrays[n]
            if floor is not None:
                below += spread(floor, m)
            out[n] = m / below if below.min() > 0.0 else np.divide(m, below, out=np.zeros_like(m), where=below > 0.0)
        return Scaled(out, np.where(np.isneginf(first.log), -np.inf, first.log - counted)), _State(first, root, steps)

    def norm(self, setting: Setting) -> Prediction:
        """The largest entry of W at speeds that its second moment can follow, and nothing else."""
        expected = GEOMETRIES["sign"].norm(setting.parameterization)
        if expected.norm is None:
            return expected.but(
                f"Adam on factors: {expected.why}; at a constant rate its speed limit log(1/b2)/2 = "
                f"{self.speed_limit:.4g} binds, and it is nearer to preconditioned gradient descent"
            )
        if self.eps:
            return expected.but(
                f"eps = {self.eps:g} is reached at margin log(1/eps) = {math.log(1.0 / self.eps):.4g}: before, steps "
                f"are those of sign descent ({expected.norm}), beyond, of gradient descent "
                f"({setting.parameterization.flow_norm})"
            )
        return with_decay_and_batch(self._fast_enough(expected, setting), setting, linear=False)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Its speed limit, and the margin at which the gradient is as small as eps."""
        out = (Threshold("speed", self.speed_limit, f"log(1/b2)/2 of Adam, b2 {self.betas[1]:g}"),)
        if not 0.0 < self.eps < 1.0:
            return out if self.betas[1] else ()
        reached = Threshold("margin", math.log(1.0 / self.eps), f"eps {self.eps:g} of Adam")
        return (*out, reached) if self.betas[1] else (reached,)

    @property
    def speed_limit(self) -> float:
        """log(1/b2)/2: the most that the margin of one W grows a step, at any constant rate (docs/optimisers.md)."""
        return math.log(1.0 / self.betas[1]) / 2.0 if self.betas[1] else math.inf

    def _fast_enough(self, expected: Prediction, setting: Setting) -> Prediction:
        """`expected` where v forgets within a tenth of the run; memory: (rate gamma / limit)^2 / (1 - b2) steps."""
        assert expected.norm is not None
        limit, b2 = self.speed_limit, self.betas[1]
        if isinstance(setting.rate, Speed):
            x = setting.rate.rho / limit
            if x >= 1.0:
                return expected.but(
                    f"x = {x:.4g}, the speed over Adam's limit log(1/b2)/2 = {limit:.4g}, is not below 1"
                )
            return Prediction(expected.norm, f"Adam without eps below its speed limit, x = {x:.4g}")
        gamma = setting.gamma(expected.norm)
        if gamma is None:
            why = setting.unsolved(expected.norm)
            return expected.but(
                f"whether Adam keeps to its speed limit depends on the {expected.norm} margin, and {why}"
            )
        if not isinstance(setting.rate, Constant):
            return Prediction(expected.norm, "Adam without eps at a rate that goes to 0")
        x = setting.rate.eta * gamma / limit
        memory = max(x * x, 1.0) / (1.0 - b2)
        number = (
            f"x = rate gamma / (log(1/b2)/2) = {x:.4g} (gamma = {gamma:.9g} certified), so that v remembers "
            f"{memory:.3g} steps of {setting.iterations}"
        )
        if 10.0 * memory > setting.iterations:
            return expected.but(f"Adam's preconditioner is frozen through most of this run: {number}")
        return Prediction(expected.norm, f"Adam without eps follows sign descent: {number}")


def _root_of_average(root: Scaled, pull: Scaled, b2: float) -> Scaled:
    """sqrt(b2 root^2 + (1 - b2) g^2), without forming a square that underflows."""
    kept = math.log(b2) / 2.0 if b2 else -math.inf
    new = math.log1p(-b2) / 2.0
    top = np.maximum(root.log + kept, pull.log + new)
    counted: Floats = np.where(np.isneginf(top), 0.0, top)
    a, b = np.exp(root.log + kept - counted), np.exp(pull.log + new - counted)
    return Scaled({n: _hypot(spread(a, u), u, spread(b, u), pull.arrays[n]) for n, u in root.arrays.items()}, top)


def _hypot(a: Floats, x: Floats, b: Floats, y: Floats) -> Floats:
    """sqrt((a x)^2 + (b y)^2); NumPy's own, five times slower, only where squares could lose digits."""
    out, other = a * x, b * y
    out *= out
    other *= other
    out += other
    return np.sqrt(out, out=out) if out.min() > 1e-280 else np.asarray(np.hypot(a * x, b * y))

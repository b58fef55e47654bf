"""Muon as it is shipped: momentum, then five Newton-Schulz steps, with an absolute eps (torch.optim.Muon)."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.geometry import GEOMETRIES, AbstractGeometry
from marginflow.optim.momentum import Momentum, check_beta
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled, safe_log
from marginflow.optim.setting import Setting
from marginflow.optim.threshold import Threshold


COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
"""K. Jordan's, the default of torch.optim.Muon: singular values end between .68 and 1.14, and not at 1."""

STEPS: Final = 5

LOW, HIGH = 0.6818, 1.1344
"""Where five steps leave singular values from .02 to 1 (theory 7.7)."""

TINY: Final = 200.0
"""Below e^-200 the odd powers of Newton-Schulz beyond the first are 0 in float64: it is linear, and scales out."""


@dataclass(frozen=True)
class Muon(AbstractOptimiser):
    """theta <- theta - rate sqrt(max(1, rows/columns)) NS5(buffer / max(|buffer|_F, eps)), matrix by matrix.

    buffer <- momentum buffer + (1 - momentum) g; with Nesterov NS5 sees (1 - momentum) g + momentum buffer. torch's
    cast to bfloat16 is left out; `Steepest("spectral")` is the same with the polar factor in place of NS5.
    """

    momentum: float = 0.95
    nesterov: bool = True
    eps: float = 1e-7
    word: str = field(default="muon", init=False)
    matrices: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        check_beta("muon momentum", self.momentum)
        if not 0.0 <= self.eps < math.inf:
            raise InputError(f"muon eps: got {self.eps!r}; expected at least 0")

    @property
    def label(self) -> str:
        """Muon and its momentum."""
        return f"Muon as shipped, momentum {self.momentum:g}" + ("" if self.nesterov else ", not Nesterov")

    @property
    def ball(self) -> AbstractGeometry:
        return GEOMETRIES["spectral"]

    def init(self, arrays: Arrays) -> Any:
        return Scaled.zero(arrays)

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        mu = self.momentum
        buffer = state.plus(pull, mu, 1.0 - mu)
        used = pull.plus(buffer, 1.0 - mu, mu) if self.nesterov else buffer
        log_eps = math.log(self.eps) if self.eps else -math.inf
        steps, logs = {}, []
        for n, x in used.arrays.items():
            length = np.sqrt((x * x).sum(axis=(1, 2)))
            log = np.minimum(used.log + safe_log(length) - log_eps, 0.0)
            unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)
            start = x * (unit * np.exp(np.maximum(log, -TINY)))[:, None, None]
            steps[n] = math.sqrt(max(1.0, x.shape[1] / x.shape[2])) * newton_schulz(start)
            logs.append(np.where(length > 0.0, np.minimum(log + TINY, 0.0), -np.inf))
        top = np.max(logs, axis=0)
        counted = np.where(np.isneginf(top), 0.0, top)
        direction = {
            n: x * np.exp(log - counted)[:, None, None] for (n, x), log in zip(steps.items(), logs, strict=True)
        }
        return Scaled(direction, top), buffer

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Where its momentum freezes, where eps is reached, and what its gap on one W cannot exceed (theory 7.7)."""
        out = Momentum(self.momentum, self.nesterov).thresholds
        most = HIGH / LOW - 1.0
        out += (Threshold("gap", most, f"Newton-Schulz: at most {rounding.text_up(most, 3)}", "operator"),)
        if 0.0 < self.eps < 1.0:
            out += (Threshold("margin", -math.log(self.eps), f"eps {self.eps:g} of Muon"),)
        return out

    def norm(self, setting: Setting) -> Prediction:
        """None: what five steps of Newton-Schulz leave of the operator norm is no norm."""
        reached = ""
        if self.eps:
            at = -math.log(self.eps)
            reached = f"; eps = {self.eps:g} turns it into gradient descent from margin {at:.4g} on"
        return Prediction(
            None,
            "five Newton-Schulz steps leave singular values between 0.68 and 1.14, so that its step is the steepest in "
            f"no norm{reached}; spectral:momentum={self.momentum:g} takes the exact polar factor",
        )


def newton_schulz(x: Floats) -> Floats:
    """Five steps x <- a x + (b A + c A^2) x, A = x x', on each matrix (B, d, m) or its transpose, the wider one."""
    a, b, c = COEFFICIENTS
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(0, 2, 1) if tall else x
    for _ in range(STEPS):
        A = x @ x.transpose(0, 2, 1)
        x = a * x + (b * A + c * (A @ A)) @ x
    return x.transpose(0, 2, 1) if tall else x

"""Mirror descent with the potential sum |theta|^p / p (l_p-AttGD of Julistiono et al., arXiv 2410.14581)."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.optim.expected import with_decay_and_batch
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import LARGEST, Scaled, inner, safe_log
from marginflow.optim.setting import Setting


ROUNDS: Final = 40
"""Of the search for a rate: each at least halves the error of its logarithm for p >= 1.5."""


@dataclass(frozen=True)
class Mirror(AbstractOptimiser):
    """sign(theta)|theta|^(p-1) moves by -rate g, entry by entry."""

    p: float = 1.75
    word: str = field(default="mirror", init=False)

    def __post_init__(self) -> None:
        if not 1.0 < self.p < math.inf:
            raise InputError(f"mirror p: got {self.p!r}; expected 1 < p < inf")

    @property
    def label(self) -> str:
        """Its exponent."""
        return f"mirror descent, p = {self.p:g}"

    def init(self, arrays: Arrays) -> Any:
        return None

    def update(self, state: Any, pull: Scaled, arrays: Arrays) -> tuple[Scaled, Any]:
        return pull, None

    def move(self, arrays: Arrays, direction: Scaled, log_rate: Floats) -> Arrays:
        step = direction.plain(log_rate)
        return {n: _power(_power(x, self.p - 1.0) + step[n], 1.0 / (self.p - 1.0)) for n, x in arrays.items()}

    def rate_for(self, log_growth: Floats, pull: Scaled, arrays: Arrays) -> Floats:
        """The step is not linear in the rate: a search on the growth, which rises with it (the potential is convex)."""
        damped = min(1.0, self.p - 1.0)
        log_rate = log_growth - pull.log - safe_log(inner(pull.arrays, pull.arrays))
        for _ in range(ROUNDS):
            moved = self.move(arrays, pull, log_rate)
            growth = inner(pull.arrays, {n: moved[n] - x for n, x in arrays.items()})
            off = log_growth - safe_log(np.maximum(growth, 1e-300))
            if np.abs(off).max() < 1e-9:
                break
            log_rate = log_rate + damped * np.clip(off, -LARGEST, LARGEST)
        return log_rate

    def norm(self, setting: Setting) -> Prediction:
        """The p-norm of the entries of W, or of beta."""
        parameterization = setting.parameterization
        if parameterization.degree != 1:
            return Prediction(None, "mirror descent on factors: no statement is known")
        name = parameterization.flow_norm if self.p == 2.0 else f"lp:{self.p:g}"
        full = name if parameterization.diagonal or self.p == 2.0 else f"entry-{name}"
        expected = Prediction(full, "mirror descent goes to the SVM of its potential (arXiv 2410.14581)")
        return with_decay_and_batch(expected, setting, linear=True)


def _power(x: Floats, exponent: float) -> Floats:
    return np.asarray(np.sign(x) * np.abs(x) ** exponent)

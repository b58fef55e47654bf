"""What theory says of a run that reaches the minimal loss: its excess, R - 1 and off-support shares (theory 5)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.pace import pace
from marginflow.diagnostics.rates import log_prefactors, slack_constant
from marginflow.diagnostics.spectrum import DualSpectrum, dual_spectrum
from marginflow.errors import UndefinedError
from marginflow.model.face_limit import FaceLimit
from marginflow.svm.solution import Solution
from marginflow.trajectory.trajectory import Trajectory


LARGEST_PACE: Final = 2000
"""Perturbations of the SVM's solution whose rates are computed, in seconds; beyond, no power is predicted."""

POWER_SENTENCE: Final = (
    "Predicted for generic starts, late: R − 1 falls as margin⁻ᵖ. For keys and queries p is 1 − ρ at an SVM solution "
    "of rank one (ρ the largest singular value below 1 of its dual matrix, theory 5.2), and the smaller of that and "
    "μ₁ above rank one (theory 5.7: linearised and balanced, from the SVM’s solution alone); for one matrix W, p = 1, "
    "unless all its supported margins stay equal (theory 5.1)."
)
"""The prediction in words, the same on every page."""


@dataclass(frozen=True)
class LateLaw:
    """The late law of one run (theory 5.1, 5.2, 5.7).

    Attributes:
        text: the law of the excess, for people.
        log_excess: (S,) its log excess at the run's times; nan before it makes sense.
        power: R - 1 falls like margin^-power; None where the leading term vanishes, so that it falls faster,
            or where theory gives no power.
        power_source: why, for people.
        off_support: the slowest off-support share of W falls like margin^-off_support; None if there is none.
    """

    text: str
    log_excess: Floats
    power: float | None
    power_source: str
    off_support: float | None


def late_law(path: Trajectory, solution: Solution | None) -> LateLaw | None:
    """The predicted late law of `path` beside its own SVM.

    None where the run is no gradient flow or is not known to head for the SVM, where that has no certified value, or
    where nothing is derived for the parameterisation (its `least_energy` is None).
    """
    if path.status.name != "minimal_loss" or solution is None or not path.method.is_flow:
        return None
    model = path.parameterization
    energy = model.least_energy
    # A width that rules the SVM's solution out, or may (theory 5.5).
    if energy is None or model.too_narrow(path.problem.d, path.problem.d_z, solution.rank):
        return None
    gamma, log_time = 1.0 / solution.certificate.upper, path.log_time
    log_excess = np.full(len(log_time), np.nan)
    if model.degree == 1:
        late = np.isfinite(log_time)
        log_excess[late] = -log_time[late] - math.log(gamma * gamma / energy)
        power = 1.0 if _supported_margins_differ(path, solution) else None
        return LateLaw("(loss − minimal loss) · t · γ² → 1", log_excess, power, "theory 5.1", 1.0)
    if model.degree != 2:
        return None
    late = np.isfinite(log_time) & (log_time > 1.0)
    log_excess[late] = -log_time[late] - np.log(log_time[late]) - math.log(4.0 * gamma / energy)
    slowest = max(spectrum_of(part).slowest for part in solution.parts or (solution,))
    power, source = factored_power(solution)
    return LateLaw(
        text=f"(loss − minimal loss) · t · log t · {4.0 / energy:g}γ → 1",
        log_excess=log_excess,
        power=power,
        power_source=source,
        off_support=1.0 - slowest if slowest > 0 else None,
    )


@lru_cache(maxsize=16)
def factored_power(solution: Solution) -> tuple[float | None, str]:
    """The power of R - 1 for two factors (keys and queries), and why; None where theory gives none.

    Of several heads that of the slowest: late they do not see one another (docs/flow.md, Heads).
    """
    if solution.parts:
        each = [factored_power(part) for part in solution.parts]
        if any(power is None for power, _ in each):
            return None, ""
        return min(each, key=lambda found: found[0] or 0.0)
    spectrum = spectrum_of(solution)
    share = 1.0 - spectrum.slowest
    off_support = f"theory 5.2, 1 − ρ with ρ = {spectrum.slowest:.3f}"
    if solution.norm.diagonal:
        return share, off_support
    if solution.constraints.equal.any():
        return None, ""
    if spectrum.support * sum(solution.W.shape) > LARGEST_PACE:
        return None, ""
    try:
        found = pace(solution)
    except UndefinedError:
        return None, ""
    slow = found.rank > 1 and -found.power < share
    return -found.power, f"theory 5.7, μ₁ for a solution of rank {found.rank}" if slow else off_support


def spectrum_of(solution: Solution) -> DualSpectrum:
    """The spectrum of the SVM's dual matrix, which sets the pace of everything off the support."""
    constraints = solution.constraints
    if solution.norm.diagonal:
        return dual_spectrum(np.diag(constraints.diagonal.T @ solution.dual))
    return dual_spectrum(constraints.adjoint(solution.dual))


def _supported_margins_differ(path: Trajectory, solution: Solution) -> bool:
    """Whether R - 1 has a term of order 1/margin: supported margins that differ by a constant for ever.

    They do not on symmetric data such as the sign orbit, where R - 1 falls faster than any prediction here.
    """
    c, goal = solution.constraints, path.goal
    if c.equal.any():
        return True
    if isinstance(goal, FaceLimit):
        kappa = np.log(goal.kappa[c.sample, c.token])
    else:
        kappa = log_prefactors(path.problem, c, path.scalar_loss)
    return slack_constant(kappa, solution.dual) > 1e-6

"""How each off-support direction of a run grows: predicted from the SVM's dual, and fitted (theory 5.2)."""

import math
from dataclasses import dataclass

import numpy as np

from marginflow.diagnostics.rates import PowerFit, fit_power
from marginflow.diagnostics.spectrum import dual_spectrum
from marginflow.errors import InputError
from marginflow.svm.solution import Solution
from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class DirectionPower:
    """One singular direction of the limiting dual matrix, outside the support of the optimum.

    Attributes:
        direction: its index among the singular values, largest first.
        rho: its singular value over the largest, the predicted power of u'Wv in |W|_*.
        fit: the fitted power with its error; None where there is nothing to fit.
        reason: why `fit` is None, or "".
    """

    direction: int
    rho: float
    fit: PowerFit | None
    reason: str = ""


def direction_powers(
    path: Trajectory, solution: Solution, *, low: float = 1e4, high: float = math.inf
) -> tuple[DirectionPower, ...]:
    """Fit every off-support direction over the snapshots with margins in [low, high].

    Directions that share one rho are only known together: they get the fit of their sum, each.

    Raises:
        InputError: fewer than 4 snapshots in the range, or a solution of another norm than the nuclear one.
    """
    if solution.parts:
        raise InputError(f"powers: got a solution of {len(solution.parts)} heads; expected one of its parts")
    if solution.norm.name != "nuclear":
        raise InputError(f"powers: got a {solution.norm.name} solution; expected a nuclear one")
    chosen = [i for i, margin in enumerate(path.margin) if low <= margin <= high]
    if len(chosen) < 4:
        raise InputError(
            f"powers: got {len(chosen)} snapshots with margins in [{low:g}, {high:g}]; expected at least 4"
        )
    spectrum = dual_spectrum(solution.constraints.adjoint(solution.dual))
    parts = np.array([spectrum.components(path.W(i)) for i in chosen])
    size = parts.sum(axis=1)
    found = []
    for j in range(spectrum.support, len(spectrum.rho)):
        rho = float(spectrum.rho[j])
        same = np.abs(spectrum.rho - rho) <= spectrum.tolerance
        grown = parts[:, same].sum(axis=1)
        if rho <= spectrum.tolerance:
            found.append(DirectionPower(j, rho, None, "no force acts on it: it stays as it started"))
        elif not (grown > 0).all():
            # Late, u'Wv is |row of K + Q|^2 / 4 > 0; before that, what k - q left can be larger.
            found.append(DirectionPower(j, rho, None, "not positive yet: the growing part does not dominate"))
        else:
            found.append(DirectionPower(j, rho, fit_power(size, grown)))
    return tuple(found)

"""The numbers of a run, one per snapshot, that the curves of the page are drawn from."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.alignment import shared_spaces
from marginflow.diagnostics.balance import relative_drift
from marginflow.diagnostics.kkt import factored_residual
from marginflow.diagnostics.pace import pace
from marginflow.diagnostics.rates import log_prefactors, slack_constant
from marginflow.diagnostics.ratio import ratio, weights_in
from marginflow.diagnostics.spectrum import DualSpectrum, dual_spectrum
from marginflow.diagnostics.table import force_matrix
from marginflow.errors import UndefinedError
from marginflow.norms import parse_norm
from marginflow.report.subject import Subject
from marginflow.svm.solution import Solution
from marginflow.trajectory.trajectory import Trajectory


LN10 = math.log(10.0)

LARGEST_PACE = 2000
"""Perturbations of the SVM's solution whose rates are computed, in seconds; beyond, no power is predicted."""

FACTORED = ("kq", "diag-kq")
"""Parameterisations that are quadratic in their parameters: depth two."""


@dataclass(frozen=True)
class Law:
    """What theory says of a run that reaches the minimal loss (theory 5.1, 5.2, 5.7).

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


def law_of(path: Trajectory, solution: Solution | None) -> Law | None:
    """The predicted late law; None where the run is not known to head for the SVM, or that has no certified value."""
    if path.status.name != "minimal_loss" or solution is None:
        return None
    # A width that rules the SVM's solution out, or may (theory 5.5).
    if path.parameterization.too_narrow(path.problem.d, path.problem.d_z, solution.rank):
        return None
    gamma = 1.0 / solution.certificate.upper
    log_time = path.log_time
    if path.parameterization.word not in FACTORED:
        text = "(loss − minimal loss) · t · γ² → 1"
        power = 1.0 if _supported_margins_differ(path, solution) else None
        return Law(text, -log_time - 2.0 * math.log(gamma), power, "theory 5.1", 1.0)
    late = log_time > 1.0
    log_excess = np.full(len(log_time), np.nan)
    log_excess[late] = -log_time[late] - np.log(log_time[late]) - math.log(2.0 * gamma)
    slowest = spectrum_of(solution).slowest
    power, source = _factored_power(solution)
    return Law(
        text="(loss − minimal loss) · t · log t · 2γ → 1",
        log_excess=log_excess,
        power=power,
        power_source=source,
        off_support=1.0 - slowest if slowest > 0 else None,
    )


@lru_cache(maxsize=16)
def _factored_power(solution: Solution) -> tuple[float | None, str]:
    """The power of R - 1 for keys and queries, and why; None where theory gives none."""
    spectrum = spectrum_of(solution)
    share = 1.0 - spectrum.slowest
    off_support = f"theory 5.2, 1 − ρ with ρ = {spectrum.slowest:.3f}"
    if solution.norm.diagonal:
        return share, off_support
    if spectrum.support * sum(solution.W.shape) > LARGEST_PACE:
        return None, ""
    try:
        found = pace(solution)
    except UndefinedError:
        return None, ""
    slow = found.rank > 1 and -found.power < share
    return -found.power, f"theory 5.7, μ₁ for a solution of rank {found.rank}" if slow else off_support


def _supported_margins_differ(path: Trajectory, solution: Solution) -> bool:
    """Whether R - 1 has a term of order 1/margin: supported margins that differ by a constant for ever.

    They do not on symmetric data such as the sign orbit, where R - 1 falls faster than any prediction here.
    """
    kappa = log_prefactors(path.problem, solution.constraints)
    return slack_constant(kappa, solution.dual) > 1e-6


def spectrum_of(solution: Solution) -> DualSpectrum:
    """The spectrum of the SVM's dual matrix, which sets the pace of everything off the support."""
    constraints = solution.constraints
    if solution.norm.diagonal:
        return dual_spectrum(np.diag(constraints.diagonal.T @ solution.dual))
    return dual_spectrum(constraints.adjoint(solution.dual))


def columns_of(path: Trajectory, subject: Subject, law: Law | None, at: Ints) -> dict[str, Floats]:
    """Every column at the snapshots `at`, by the name that the page's scripts use; nan where undefined.

    The numbers are those of `diagnose`; only what is drawn is computed, at the snapshots drawn, which takes a
    fifth of the time where there are a hundred seeds.
    """
    constraints = subject.constraints
    names = [name for name in subject.solutions if path.parameterization.diagonal or name not in ("l1", "l2")]
    out: dict[str, list[float]] = {
        key: []
        for key in [
            *(f"gap_{name}" for name in names),
            *(f"norm_{name}" for name in names),
            *("epsilon", "delta", "alignment", "drift"),
        ]
    }
    first = path.parameters(0)
    for i in at:
        W, dual, margin = path.W(i), path.dual(i), float(path.margin[i])
        margins = constraints.margins(W)
        for name in names:
            norm = parse_norm(name)
            shaped = weights_in(norm, W)
            out[f"gap_{name}"].append(ratio(shaped, dual, constraints, norm) - 1.0)
            out[f"norm_{name}"].append(norm.value(shaped) / margin if margin > 0 else math.nan)
        now = path.parameters(i)
        residual = _residual(path, subject, now, dual, margins)
        out["epsilon"].append(residual[0])
        out["delta"].append(residual[1])
        out["alignment"].append(_misalignment(path, i))
        out["drift"].append(_drift(first, now))
    done = {key: np.array(values) for key, values in out.items()}
    done["log10_time"] = path.log_time[at] / LN10
    done["margin"] = path.margin[at]
    done["log10_excess"] = path.log_excess[at] / LN10
    if law is not None:
        done["law"] = law.log_excess[at] / LN10
        with np.errstate(over="ignore", invalid="ignore"):
            done["law_ratio"] = np.exp(path.log_excess[at] - law.log_excess[at])
    return done


def leads(path: Trajectory, i: int) -> Floats:
    """(n, T) the optimal token's logit minus each token's, from the carried logits, exact late too."""
    s = path.snapshots
    rows, top = np.arange(path.problem.n), path.problem.optimal
    high, low = s.high[i], s.low[i]
    return np.asarray((high[rows, top][:, None] - high) + (low[rows, top][:, None] - low))


def _residual(
    path: Trajectory, subject: Subject, now: dict[str, Floats], dual: Floats, margins: Floats
) -> tuple[float, float]:
    force = _force(path, subject, now, dual)
    theta = np.concatenate([array.ravel() for array in now.values()])
    found = factored_residual(theta, force, margins, dual, path.parameterization.degree)
    return found.epsilon, found.delta


def _force(path: Trajectory, subject: Subject, now: dict[str, Floats], dual: Floats) -> Floats:
    """-grad of the loss on the parameters, flattened in their order, at the scale of `dual`."""
    constraints = subject.constraints
    word = path.parameterization.word
    G = constraints.diagonal.T @ dual if path.parameterization.diagonal else constraints.adjoint(dual)
    if word == "kq":
        return np.concatenate([(G @ now["Q"]).ravel(), (G.T @ now["K"]).ravel()])
    if word == "diag-kq":
        return np.concatenate([G * now["q"], G * now["k"]])
    return np.asarray(G.ravel())


def _misalignment(path: Trajectory, i: int) -> float:
    if path.parameterization.diagonal:
        return math.nan
    return shared_spaces(path.W(i), force_matrix(path, i))


def _drift(first: dict[str, Floats], now: dict[str, Floats]) -> float:
    if len(now) != 2:
        return math.nan
    (a, b), (c, d) = first.values(), now.values()
    return relative_drift((a, b), (c, d))

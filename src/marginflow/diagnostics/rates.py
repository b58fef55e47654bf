"""Rates: fitted powers with an error that the data show, and the predicted late laws (docs/theory.md 5).

All laws are written in log time and log excess; no function here ever forms t or the excess.
"""

import math
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.losses import EXPONENTIAL, AbstractLoss
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class PowerFit:
    """y ~ exp(intercept) x^power on the points given.

    Attributes:
        power: least-squares slope of log y in log x.
        error: the larger of the slope's standard error and half the change of slope from the first half of
            the points to the second: the curves are deterministic, what limits a fit is curvature, not noise.
        intercept: log y at x = 1.
        points: how many were used.
    """

    power: float
    error: float
    intercept: float
    points: int


def fit_power(x: Floats, y: Floats) -> PowerFit:
    """Fit a power law to positive `x`, `y` (S,).

    Raises:
        InputError: fewer than 4 points, or a number that is not positive.
    """
    if len(x) != len(y) or len(x) < 4:
        raise InputError(f"fit: got {len(x)} and {len(y)} points; expected the same number, at least 4")
    if not ((x > 0).all() and (y > 0).all()):
        raise InputError("fit: got numbers that are not positive; a power law has none")
    u, v = np.log(x), np.log(y)
    slope, intercept, standard = _line(u, v)
    half = len(u) // 2
    change = abs(_line(u[:half], v[:half])[0] - _line(u[half:], v[half:])[0]) / 2 if half >= 2 else 0.0
    return PowerFit(slope, max(standard, change), intercept, len(u))


def combined_constant(log_excess: Floats, log_time: Floats, gamma: float) -> Floats:
    """e t gamma^2 - 1, which tends to 0 for W (gamma = 1/F*) and for beta (gamma = 1/l2*) (theory 5.1)."""
    return np.expm1(log_excess + log_time + 2.0 * math.log(gamma))


def factored_constant(log_excess: Floats, log_time: Floats, gamma: float) -> Floats:
    """2 gamma e t log t - 1 -> 0 for (K, Q) (gamma = 1/N*) and (k, q) (1/l1*) (theory 5.1); log t > 0."""
    return np.expm1(log_excess + log_time + np.log(log_time) + math.log(2.0 * gamma))


def factored_correction(log_excess: Floats, gamma: float, rho: Floats, components: Floats, entropy: float) -> Floats:
    """The leading terms of 2 gamma e t log t - 1 (theory 5.6).

    sum_off rho (1 - rho) w_j  -  (log l + log 2 gamma - 1 + H) / l, with l = -log e and w_j the shares of W.

    Args:
        log_excess: (S,).
        gamma: 1 / N*.
        rho: (k,) singular values of the limiting dual matrix over the largest.
        components: (S, k) u_j'W v_j in its singular directions, at the same snapshots.
        entropy: H of `weight_entropy`.
    """
    size = -log_excess
    shares = components / components.sum(axis=1, keepdims=True)
    power_law = shares @ (rho * (1.0 - rho))
    return np.asarray(power_law - (np.log(size) + math.log(2.0 * gamma) - 1.0 + entropy) / size)


def log_prefactors(problem: Problem, constraints: Constraints, loss: AbstractLoss = EXPONENTIAL) -> Floats:
    """(C,) log kappa_c, kappa = -l'(u) (gamma_opt - gamma_l) / outputs; e -> sum kappa e^-m (theory 3.3).

    u is the best that the row's output can be.

    For the constraints of the optimal tokens.
    """
    top = problem.scores[constraints.sample, problem.optimal[constraints.sample]]
    own = problem.scores[constraints.sample, constraints.token]
    best = problem.best_outputs[problem.output[constraints.sample]]
    return np.asarray(loss.log_slope(best) + np.log(top - own) - math.log(problem.counts[0]))


def weight_entropy(log_kappa: Floats, dual: Floats) -> float:
    """H = sum_c p_c log(kappa_c / p_c), p = dual / sum(dual): the offset -log e = <p, m> - H (theory 5.6)."""
    p = dual / dual.sum()
    on = p > 0
    return float((p[on] * (log_kappa[on] - np.log(p[on]))).sum())


def slack_constant(log_kappa: Floats, dual: Floats, threshold: float = 1e-9) -> float:
    """S = H - min_c log(kappa_c / p_c): slack - 1 tends to S / m_min (theory 5.6).

    In the limit p_c = kappa_c e^-m_c / e: supported margins differ as log(kappa_c / p_c) does.

    Args:
        log_kappa: (C,).
        dual: (C,) multipliers of the limiting SVM.
        threshold: multipliers below this share of the largest are taken to be 0.
    """
    p = dual / dual.sum()
    on = p > threshold * p.max()
    levels = log_kappa[on] - np.log(p[on])
    return float(weight_entropy(log_kappa[on], p[on]) - levels.min())


def _line(u: Floats, v: Floats) -> tuple[float, float, float]:
    """Slope, intercept and the slope's standard error of the least-squares line."""
    centre = u - u.mean()
    spread = float(centre @ centre)
    if spread == 0.0:
        raise InputError("fit: got one abscissa repeated; expected at least two")
    slope = float(centre @ v) / spread
    intercept = float(v.mean() - slope * u.mean())
    rest = v - intercept - slope * u
    free = max(len(u) - 2, 1)
    return slope, intercept, math.sqrt(float(rest @ rest) / free / spread)

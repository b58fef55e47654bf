"""Late-time laws: constants, powers and the pace of keys and queries (theory 5.1, 5.2, 5.6, 5.7)."""

import math

import numpy as np

from marginflow.claims import runs
from marginflow.claims.claim import Check, Claim, Evidence
from marginflow.claims.measure import cosine, limit_spectrum, off_support, window
from marginflow.diagnostics.pace import pace
from marginflow.diagnostics.rates import (
    combined_constant,
    factored_constant,
    factored_correction,
    fit_power,
    log_prefactors,
    weight_entropy,
)
from marginflow.model.registry import KeyQuery
from marginflow.trajectory.trajectory import Trajectory


CONSTANTS = ("angle:c=0.5", "spiked:n=5,c=0.4", "angle:c=0.3")
MARGIN = 1e9
POWERS = ("angle:c=0.5", "angle:c=0.3", "spiked:n=5,c=0.4")
PACED = ("equal:n=4,T=2,d=4,seed=6", "equal:n=4,T=2,d=4,seed=8", "equal:n=4,T=2,d=4,seed=10")
"""Small problems whose nuclear optimum is unique, of rank 2 and strictly complementary."""

FLOOR = (
    "exponents are float64 numbers of the size of the margin: log e and log t carry a few eps x margin each "
    "(8 x the floor that the trajectory states)"
)


def rates() -> Evidence:
    """Constants for W and for keys and queries, then the powers."""
    checks: list[Check] = []
    details: dict[str, object] = {}
    for name in CONSTANTS:
        checks += _constants(name, details)
    for name in POWERS:
        checks.append(_power(name))
    return Evidence(tuple(checks), details)


def _constants(name: str, details: dict[str, object]) -> list[Check]:
    known, spectrum = runs.known(name), limit_spectrum(name)
    combined = runs.run(name, "w", margin=MARGIN, rtol=runs.RTOL)
    split = runs.run(name, "kq", margin=MARGIN, rtol=runs.RTOL)
    gamma = 1 / known["nuclear"]
    data, last = runs.problem(name), np.array([-1])
    dual = runs.solution(name, "nuclear").dual
    entropy = weight_entropy(log_prefactors(data, data.constraints()), dual)
    measured = float(factored_constant(split.log_excess[last], split.log_time[last], gamma)[0])
    predicted = float(
        factored_correction(
            split.log_excess[last], gamma, spectrum.rho, spectrum.components(split.W(-1))[None], entropy
        )[0]
    )
    size = -float(split.log_excess[-1])
    share = off_support(split, spectrum)
    details[name] = {"2 gamma e t log t - 1": measured, "predicted correction": predicted}
    checks = [
        Check(
            f"{name}: e t gamma_F^2 for W at margin {MARGIN:g}",
            1.0,
            1.0
            + float(combined_constant(combined.log_excess[last], combined.log_time[last], 1 / known["frobenius"])[0]),
            8 * combined.floor,
            "theory 5.1: corrections are exponentially small in the margin. " + FLOOR,
        ),
        Check(
            f"{name}: 2 gamma_N e t log t for (K, Q), with the predicted correction",
            1.0 + predicted,
            1.0 + measured,
            3 * share * abs(predicted) + 3 * (math.log(size) / size) ** 2 + 8 * split.floor,
            "theory 5.6: next terms are the correction times the off-support share, and (log l/l)^2. " + FLOOR,
        ),
    ]
    if name != "angle:c=0.3":
        checks.append(
            Check(
                f"{name}: 2 gamma_N e t log t for (K, Q)",
                1.0,
                1.0 + measured,
                1e-4,
                f"the target of the issue; the predicted correction is {predicted:.1e}",
            )
        )
    return checks


def _power(name: str) -> Check:
    """The growth of the slowest off-support direction against the nuclear norm."""
    path, spectrum = runs.run(name, "kq", margin=MARGIN, rtol=runs.RTOL), limit_spectrum(name)
    chosen = window(path, 1e5)
    parts = np.array([spectrum.components(path.W(i)) for i in chosen])
    fit = fit_power(parts.sum(axis=1), parts[:, spectrum.support :].sum(axis=1))
    share = off_support(path, spectrum, chosen[0])
    return Check(
        f"{name}: power of the off-support directions in |W|_*",
        spectrum.slowest,
        fit.power,
        min(0.01 * spectrum.slowest, share),
        "theory 5.2 is exact for the limiting dual matrix; the current one differs by the off-support share, "
        f"{share:.1e} where the fit begins (the issue asks for 1 %)",
    )


def pace_claim() -> Evidence:
    """Starts in the slowest perturbation around the optimum: its decay is one pure power."""
    checks = []
    details: dict[str, object] = {}
    for name in PACED:
        predicted = pace(runs.solution(name, "nuclear"))
        path = _slow_start(name, 1e4, 1e-3)
        solution = runs.solution(name, "nuclear")
        best = solution.W / solution.constraints.margins(solution.W).min()
        chosen = window(path, 1e6, 3e9)
        left = np.array([abs(float(((path.W(i) / path.margin[i] - best) * predicted.slowest).sum())) for i in chosen])
        fit = fit_power(path.margin[chosen], left)
        checks.append(
            Check(
                f"{name}: power of the slowest perturbation",
                -float(predicted.rates[0]),
                fit.power,
                1e-3 + runs.RTOL / float(left[-1]),
                "linearisation: the perturbation starts at 1e-3 of W, so the next order changes the rate "
                "by about "
                "1e-3 of 1; and the integrator's rtol against what is left of it at the end",
            )
        )
        details[name] = {
            "rates": predicted.rates[:3],
            "power of R - 1 predicted for generic starts": predicted.power,
            "fit error": fit.error,
            "cosine of W with the optimum": cosine(path.W(-1), best),
        }
    return Evidence(tuple(checks), details)


def _slow_start(name: str, margin: float, size: float) -> Trajectory:
    solution = runs.solution(name, "nuclear")
    slowest = pace(solution).slowest
    best = solution.W / solution.constraints.margins(solution.W).min()
    left, s, right = np.linalg.svd(margin * (best + size * np.linalg.norm(best) * slowest), full_matrices=False)
    start = {"K": left * np.sqrt(s), "Q": right.T * np.sqrt(s)}
    return runs.run_from(runs.problem(name), KeyQuery(width=len(s)), start, margin=1e10, rtol=runs.RTOL)


CLAIMS = (
    Claim(
        "rates",
        "e t gamma_F^2 -> 1 for one matrix, 2 gamma_N e t log t -> 1 for keys and queries with the predicted "
        "correction, and off-support directions grow as |W|^rho.",
        "derived, docs/theory.md 5.1, 5.2, 5.6",
        ", ".join(CONSTANTS),
        rates,
    ),
    Claim(
        "pace",
        "How fast generic keys and queries approach the nuclear optimum, slower than (1 - rho) when its "
        "rank is "
        "above one, is an eigenvalue computed from the SVM solution alone.",
        "derived, docs/theory.md 5.7",
        ", ".join(PACED),
        pace_claim,
    ),
)

"""What an optimiser remembers against how fast the margin grows: momentum's threshold, Adam's speed limit."""

import math
from functools import cache

import numpy as np
from scipy.optimize import brentq

from marginflow.claims import steps
from marginflow.claims.claim import Check, Claim, Evidence
from marginflow.optim.adam import Adam
from marginflow.optim.descend import descend, descend_many
from marginflow.optim.rate import Power
from marginflow.optim.steepest import Steepest
from marginflow.problem.named import load
from marginflow.problem.problem import Problem
from marginflow.trajectory.trajectory import Trajectory


PROBLEMS = 4
STEPS = 2000
BELOW, ABOVE = 0.9, 1.15
ONE_MATRIX = (("sign", 0.9, "entry-linf"), ("euclidean", 0.9, "frobenius"), ("spectral", 0.95, "operator"))
FACTORS_BELOW, FACTORS_ABOVE = 0.7, 2.0
FACTOR_STEPS = 3000
RISING, FALLING = 0.4, 0.6
"""Powers a of rates on K and Q: below 1/2 the speed x of the threshold rises with k, above it falls."""
DIGITS_STEPS = 8000

ADAM_STEPS = 4000
ADAMS = ((0.9, 0.95, 0.01), (0.9, 0.95, 0.1), (0.5, 0.9, 0.1))
"""b1, b2, rate x gamma: from well below the limit to four times it, memories of 26, 330 and 52 steps."""
FAST = (0.9, 0.99, 1.0)
"""Two hundred times its limit of 5.03e-3."""

LOST = 0.2
"""How much the lost margin, gap x margin, may change over a window: a choice; it is .9 to 2 in all."""


def momentum_threshold() -> Evidence:
    """Runs on both sides of x = rate gamma / log(1/beta) = 1, on random problems, on digits, and on K and Q."""
    parts = (_one_matrix(), _digits(), _factors())
    return Evidence(
        tuple(check for checks, _ in parts for check in checks),
        {key: value for _, details in parts for key, value in details.items()},
    )


def _one_matrix() -> tuple[tuple[Check, ...], dict[str, object]]:
    checks = (*_below(), *_above())
    details: dict[str, object] = {
        f"{geometry}, beta {beta:g}": {
            f"x = {x:g}": {
                "power of the gap": steps.spread([steps.power(path, norm) for path in paths]),
                "gap": steps.spread([steps.gap(path, norm) for path in paths]),
            }
            for x in (BELOW, ABOVE)
            for paths in [_with_momentum(geometry, beta, norm, x)]
        }
        for geometry, beta, norm in ONE_MATRIX
    }
    return checks, details


def _below() -> tuple[Check, ...]:
    powers, speeds = [], []
    for geometry, beta, norm in ONE_MATRIX:
        for path in _with_momentum(geometry, beta, norm, BELOW):
            powers.append(steps.power(path, norm))
            speeds.append(steps.speed(path) / (BELOW * math.log(1.0 / beta)))
    width = STEPS / 2.0
    return (
        Check(
            f"x = {BELOW:g}: median power of k in the gap, {len(powers)} runs",
            -1.0,
            float(np.median(powers)),
            0.1,
            "theory 7.4: gap x margin settles, and margin = x log(1/beta) k - C; C of 1 to 2 at margins of 50 to 100 "
            "moves the power by .03, and what C still loses by as much",
        ),
        Check(
            f"x = {BELOW:g}: runs whose gap stalls (power above -1/2)",
            0.0,
            float(sum(value > -0.5 for value in powers)),
            0.0,
            "-1/2 is halfway between forgetting (-1) and freezing (0)",
        ),
        Check(
            f"x = {BELOW:g}: margin per step over rate gamma, the worst run",
            1.0,
            max(speeds, key=lambda value: abs(value - 1.0)),
            3.0 / width + LOST / (BELOW * math.log(1.0 / 0.95) * width),
            f"theory 7.4: three steps of the {width:g} measured, and C may change by {LOST:g} (a choice) over them",
        ),
    )


def _above() -> tuple[Check, ...]:
    powers, speeds, gaps = [], [], []
    for geometry, beta, norm in ONE_MATRIX:
        paths = _with_momentum(geometry, beta, norm, ABOVE)
        powers.append(float(np.median([steps.power(path, norm) for path in paths])))
        speeds += [steps.speed(path) / math.log(1.0 / beta) for path in paths]
        gaps += [steps.gap(path, norm) for path in paths]
    return (
        Check(
            f"x = {ABOVE:g}: least over the geometries of the median power of k in the gap",
            0.0,
            min(powers),
            0.5,
            "the direction freezes (theory 7.4); halfway to forgetting",
        ),
        Check(
            f"x = {ABOVE:g}: least margin per step over log(1/beta)",
            1.0,
            min(speeds),
            0.02,
            "a frozen direction has rate gamma(D) >= log(1/beta) (theory 7.4); speeds still settle by 1 % (a choice)",
            ">=",
        ),
        Check(
            f"x = {ABOVE:g}: largest gap",
            ABOVE - 1.0,
            max(gaps),
            0.05,
            "theory 7.4: x - 1 in the limit; C/margin at margins of 100 to 200 is .01 to .02, twice that for runs "
            "that have not frozen yet",
            "<=",
        ),
    )


def _digits() -> tuple[tuple[Check, ...], dict[str, object]]:
    slow, fast = _on_digits(BELOW), _on_digits(ABOVE)
    gaps = [steps.gap(fast, "frobenius", i) for i in range(len(fast)) if fast.iteration[i] >= DIGITS_STEPS / 4.0]
    lost = steps.gap(slow, "frobenius") * steps.margin(slow)
    checks = (
        Check(
            f"digits, NGD, x = {BELOW:g}: power of k in the gap",
            -1.0,
            steps.power(slow, "frobenius"),
            0.15,
            f"theory 7.4; gap x margin, {lost:.3g} at the end, may change by a fifth over a factor 4 of k (a choice): "
            "log(1.2)/log(4) = .13, and as much for it as k - C, C of a few steps",
        ),
        Check(
            f"digits, NGD, x = {ABOVE:g}: least gap over the last factor 4 of k, over that at x = {BELOW:g}",
            10.0,
            min(gaps) / steps.gap(slow, "frobenius"),
            0.0,
            "the direction freezes (theory 7.4); ten times (a choice) is further apart than runs that both fall",
            ">=",
        ),
        Check(
            f"digits, NGD, x = {ABOVE:g}: largest gap over the last factor 4 of k",
            ABOVE - 1.0,
            max(gaps),
            0.05,
            "theory 7.4: x - 1 in the limit, and C/margin",
            "<=",
        ),
    )
    return checks, {"digits": {"gap below": steps.gap(slow, "frobenius"), "gap above": steps.spread(gaps)}}


def _factors() -> tuple[tuple[Check, ...], dict[str, object]]:
    thawed = [steps.power(path, "operator") for path in _on_factors(FACTORS_BELOW)]
    frozen = [steps.power(path, "operator") for path in _on_factors(FACTORS_ABOVE)]
    late = [steps.power(path, "operator") for path in _on_factors(FACTORS_ABOVE, FALLING)]
    early = [steps.power(path, "operator") for path in _on_factors(FACTORS_BELOW, RISING)]
    named = {"below": thawed, "above": frozen, f"above, power {FALLING:g}": late, f"below, power {RISING:g}": early}
    checks = (
        Check(
            f"K, Q, rate eta/sqrt(k), 4 eta^2 gamma = {FACTORS_BELOW:g} log(1/beta): median power of k in the gap",
            -0.25,
            float(np.median(thawed)),
            0.0,
            "the gap falls as margin^-1/2 or faster (theory 7.7, measured); halfway to freezing",
            "<=",
        ),
        Check(
            f"K, Q, 4 eta^2 gamma = {FACTORS_ABOVE:g} log(1/beta): median power of k in the gap",
            -0.25,
            float(np.median(frozen)),
            0.0,
            "the direction freezes (theory 7.4); halfway to forgetting",
            ">=",
        ),
        Check(
            f"K, Q, rate eta k^-{FALLING:g}, eta of {FACTORS_ABOVE:g} times the threshold: median power of the gap",
            -0.25,
            float(np.median(late)),
            0.0,
            "a > 1/2: x falls below 1 whatever eta (conjectured in theory 7.4); halfway to freezing",
            "<=",
        ),
        Check(
            f"K, Q, rate eta k^-{RISING:g}, eta of {FACTORS_BELOW:g} of the threshold: median power of k in the gap",
            -0.25,
            float(np.median(early)),
            0.0,
            "a < 1/2: x rises above 1 whatever eta (conjectured in theory 7.4); runs that have converged by then may "
            "freeze where they are, so that a small eta would say nothing",
            ">=",
        ),
    )
    return checks, {"spectral on K, Q": {name: steps.spread(values) for name, values in named.items()}}


@cache
def _with_momentum(geometry: str, beta: float, norm: str, x: float) -> list[Trajectory]:
    data = [steps.of_unit_margin(seed, norm) for seed in range(PROBLEMS)]
    rule = Steepest(geometry, momentum=beta)
    return descend_many(data, "w", rule, seeds=range(PROBLEMS), rate=x * math.log(1.0 / beta), iterations=STEPS)


@cache
def _on_digits(x: float) -> Trajectory:
    made = load("digits")
    data = Problem(np.asarray(made.X) * steps.least(made, "frobenius").value, made.z, made.scores)
    rule = Steepest("euclidean", momentum=0.9)
    return descend(data, "w", rule, rate=x * math.log(1.0 / 0.9), iterations=DIGITS_STEPS)


@cache
def _on_factors(x: float, power: float = 0.5) -> list[Trajectory]:
    """With rates eta k^-power, eta at x times the threshold of the power 1/2."""
    beta = 0.95
    data = [steps.of_unit_margin(seed, "operator") for seed in range(PROBLEMS)]
    eta = math.sqrt(x * math.log(1.0 / beta)) / 2.0
    rule = Steepest("spectral", momentum=beta)
    return descend_many(data, "kq", rule, seeds=range(PROBLEMS), rate=Power(eta, power), iterations=FACTOR_STEPS)


def adam_speed_of(b1: float, b2: float, step: float) -> float:
    """The root r of r = step (1-b1)/(1-b1 e^r) sqrt((1-b2 e^2r)/(1-b2)), step = rate gamma (theory 7.5)."""

    def short(r: float) -> float:
        root = math.sqrt(max(0.0, 1.0 - b2 * math.exp(2.0 * r)) / (1.0 - b2))
        return step * (1.0 - b1) / (1.0 - b1 * math.exp(r)) * root - r

    return float(brentq(short, 0.0, math.log(1.0 / b2) / 2.0, xtol=1e-15, rtol=1e-14))


def adam_speed() -> Evidence:
    """Margin per step of Adam without eps against the root of its equation, which no rate can lift over log(1/b2)/2."""
    checks: list[Check] = []
    details: dict[str, object] = {}
    for b1, b2, step in ADAMS:
        predicted = adam_speed_of(b1, b2, step)
        found = [steps.speed(path) / predicted for path in _adam(b1, b2, step)]
        details[f"betas {b1:g}, {b2:g}, rate gamma {step:g}"] = {
            "r": predicted,
            "limit": math.log(1.0 / b2) / 2.0,
            "measured over r": steps.spread(found),
            "gap": steps.spread([steps.gap(path, "entry-linf") for path in _adam(b1, b2, step)]),
        }
        checks.append(
            Check(
                f"betas {b1:g}, {b2:g}, rate gamma = {step:g}: margin per step, the worst of {PROBLEMS} runs",
                predicted,
                predicted * max(found, key=lambda value: abs(value - 1.0)),
                LOST / (ADAM_STEPS / 2.0),
                f"theory 7.5; gap x margin may change by {LOST:g} over {ADAM_STEPS // 2} steps (a choice)",
            )
        )
    b1, b2, step = FAST
    limit = math.log(1.0 / b2) / 2.0
    fast = [steps.speed(path) for path in _adam(b1, b2, step)]
    checks.append(
        Check(
            f"betas {b1:g}, {b2:g}, rate gamma = {step / limit:.0f} times the limit: largest margin per step over it",
            1.0,
            max(fast) / limit,
            LOST / (limit * ADAM_STEPS / 2.0),
            f"theory 7.5; gap x margin may change by {LOST:g} over {ADAM_STEPS // 2} steps (a choice)",
            "<=",
        )
    )
    slow = [steps.power(path, "entry-linf") for path in _adam(0.9, 0.999, 0.05)]
    details["betas .9, .999, rate gamma .05: power of k in the l_inf gap"] = steps.spread(slow)
    checks.append(
        Check(
            "betas .9, .999, rate gamma = .05: least power of k in the l_inf gap",
            -0.5,
            min(slow),
            0.0,
            "v remembers 1e7 steps, so that the preconditioner is frozen; halfway between -1 and 0",
            ">=",
        )
    )
    return Evidence(tuple(checks), details)


@cache
def _adam(b1: float, b2: float, step: float) -> list[Trajectory]:
    data = [steps.of_unit_margin(seed, "entry-linf") for seed in range(PROBLEMS)]
    rule = Adam((b1, b2), eps=0.0)
    return descend_many(data, "w", rule, seeds=range(PROBLEMS), rate=step, iterations=ADAM_STEPS)


CLAIMS = (
    Claim(
        "momentum-threshold",
        "A normalised step with momentum beta ends at the SVM of its norm iff the margin grows by less than "
        "log(1/beta) a step; above, the direction freezes.",
        "derived, docs/theory.md 7.4",
        f"{steps.FAMILY}, seeds 0-{PROBLEMS - 1}, tokens scaled to gamma = 1",
        momentum_threshold,
    ),
    Claim(
        "adam-speed",
        "Without eps Adam's margin grows by the root of one equation a step, below log(1/b2)/2 at any rate.",
        "derived, docs/theory.md 7.5",
        f"{steps.FAMILY}, seeds 0-{PROBLEMS - 1}, tokens scaled to gamma = 1",
        adam_speed,
    ),
)

"""The directions of every rule at margin 1e6, where a gradient is e^-1000000, against mpmath and its own SVD."""

import math

import mpmath
import numpy as np
import pytest
import written_rules as referee
from test_rules import KINDS, PROBLEM, start

from marginflow.losses import Exponential
from marginflow.model.objective import Objective
from marginflow.optim.plain_force import PlainForce
from marginflow.optim.registry import parse_optimiser
from marginflow.optim.scaled import Scaled


def pulls(kind):
    """The arrays, the pull as the loop makes it, and the exact one: unit arrays and the logarithm of their size."""
    one = start(kind, 1e6)
    arrays = {n: a[None] for n, a in one.items()}
    objective = Objective.of([PROBLEM], kind.sized(3, 3, one), Exponential())
    here = PlainForce(objective).of(objective.tokens.logits(objective.map.product(arrays)))
    pull = Scaled(objective.map.descents(arrays, objective.tokens.adjoint(here.f)), here.log_norm)
    g = referee.gradient(PROBLEM, {n: referee.exact(a) for n, a in one.items()})
    size = mpmath.sqrt(sum((a * a).sum() for a in g.values()))
    unit = {n: np.array(-a / size, dtype=float) for n, a in g.items()}
    return arrays, pull, unit, float(mpmath.log(size))


def seen(word, kind):
    """The direction of the first step with its length, -unit and the exact logarithm."""
    arrays, pull, unit, log_size = pulls(kind)
    rule = parse_optimiser(word)
    step, _ = rule.update(rule.init(arrays), pull, arrays)
    length = math.sqrt(sum(float((a * a).sum()) for a in step.arrays.values()))
    return {n: a[0] / length for n, a in step.arrays.items()}, float(step.log[0]) + math.log(length), unit, log_size


def close(got, want):
    whole = math.sqrt(sum(float((a * a).sum()) for a in want.values()))
    # A logit at margin 1e6 is known to 1e-10, and with it the weights of what pulls.
    assert max(np.abs(got[n] - want[n] / whole).max() for n in want) < 1e-9


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("word", ["gd", "gd:momentum=0.9", "mirror:p=1.5"])
def test_gradient_and_mirror_descent_step_along_the_gradient(kind, word):
    got, log, unit, log_size = seen(word, kind)
    close(got, unit)
    assert log_size < -0.9e6 and abs(log - log_size) < 1e-8


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
@pytest.mark.parametrize("word", ["spectral", "spectral:momentum=0.9", "shampoo:beta=0", "nuclear"])
def test_polar_factors_and_top_pairs_are_those_of_the_exact_gradient(kind, word):
    got, _, unit, _ = seen(word, kind)
    want = {}
    for n, a in unit.items():
        U, s, V = np.linalg.svd(a, full_matrices=False)
        kept = s > 1e-13 * s[0] if word != "nuclear" else np.arange(len(s)) == 0
        want[n] = (U * kept) @ V
    close(got, want)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
def test_muon_is_newton_schulz_of_the_exact_gradient_or_past_eps_the_gradient_itself(kind):
    got, _, unit, _ = seen("muon:eps=0", kind)
    want = {}
    for n, a in unit.items():
        x = a / np.linalg.norm(a)
        for _ in range(5):
            A = x @ x.T
            x = 3.4445 * x + (-4.7750 * A + 2.0315 * A @ A) @ x
        want[n] = math.sqrt(max(1.0, x.shape[0] / x.shape[1])) * x
    close(got, want)
    got, log, unit, log_size = seen("muon:nesterov=false", kind)
    turned = {n: math.sqrt(max(1.0, a.shape[0] / a.shape[1])) * a for n, a in unit.items()}
    close(got, turned)
    # Five passes of a s, on (1 - momentum) g / eps.
    size = math.log(math.sqrt(sum(float((a * a).sum()) for a in turned.values())))
    assert abs(log - (log_size + size + math.log(0.05) - math.log(1e-7) + 5 * math.log(3.4445))) < 1e-8

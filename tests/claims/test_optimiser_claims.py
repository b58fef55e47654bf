"""The claims about optimisers can fail: a rule, a decay or a formula that is wrong is noticed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from marginflow.claims import decay, geometries, memory, muon, steps
from marginflow.claims.claim import Evidence
from marginflow.diagnostics.rates import weight_entropy
from marginflow.optim import adam, muon as rule
from marginflow.optim.decay import L2, Decoupled
from marginflow.optim.geometry import GEOMETRIES, Sign
from marginflow.optim.momentum import Momentum
from marginflow.optim.polar import polar
from marginflow.svm.solve import solve


CACHED = (
    memory._with_momentum,
    memory._on_digits,
    memory._on_factors,
    memory._adam,
    decay._adamw,
    geometries._steepest,
    muon._runs,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two problems each, and no run of the code as it is is kept for the code as it is not."""
    for module in (memory, decay, geometries, muon):
        monkeypatch.setattr(module, "PROBLEMS", 2)
    for made in CACHED:
        made.cache_clear()
    yield
    for made in CACHED:
        made.cache_clear()


def failing(evidence: Evidence) -> list[str]:
    return [check.what for check in evidence.checks if not check.holds]


def signs_only(monkeypatch) -> None:
    monkeypatch.setattr(memory, "ONE_MATRIX", memory.ONE_MATRIX[:1])
    monkeypatch.setattr(memory, "STEPS", 1000)
    monkeypatch.setattr(memory, "FACTOR_STEPS", 200)
    monkeypatch.setattr(memory, "DIGITS_STEPS", 2000)


def one_adam(monkeypatch) -> None:
    monkeypatch.setattr(memory, "ADAMS", memory.ADAMS[2:])
    monkeypatch.setattr(memory, "ADAM_STEPS", 1000)


def test_momentum_that_remembers_longer_is_noticed(monkeypatch):
    """beta^(3/4) in place of beta: runs said to be at .9 of the threshold are at 1.2 of their own."""
    true = Momentum.update
    signs_only(monkeypatch)
    monkeypatch.setattr(
        Momentum, "update", lambda self, buffer, pull: true(replace(self, beta=self.beta**0.75), buffer, pull)
    )
    failed = failing(memory.momentum_threshold())
    assert any("x = 0.9: margin per step" in what for what in failed)


def test_a_threshold_that_is_not_there_is_noticed(monkeypatch):
    """Without a buffer nothing freezes above it."""
    signs_only(monkeypatch)
    monkeypatch.setattr(Momentum, "update", lambda self, buffer, pull: (pull, buffer))
    failed = failing(memory.momentum_threshold())
    assert any("x = 1.15: least over the geometries" in what for what in failed)
    assert any("digits, NGD, x = 1.15: least gap" in what for what in failed)


def test_another_second_moment_is_noticed(monkeypatch):
    true = adam._root_of_average
    one_adam(monkeypatch)
    monkeypatch.setattr(adam, "_root_of_average", lambda root, pull, b2: true(root, pull, b2 - 0.01))
    assert any("betas 0.5, 0.9" in what for what in failing(memory.adam_speed()))


def test_the_speed_without_the_second_moment_is_noticed(monkeypatch):
    one_adam(monkeypatch)
    monkeypatch.setattr(memory, "adam_speed_of", lambda b1, b2, step: step)
    assert any("betas 0.5, 0.9" in what for what in failing(memory.adam_speed()))


@pytest.mark.parametrize("b1, b2, step", memory.ADAMS)
def test_the_root_solves_its_equation(b1, b2, step):
    r = memory.adam_speed_of(b1, b2, step)
    m, v = (1 - b1) / (1 - b1 * math.exp(r)), (1 - b2) / (1 - b2 * math.exp(2 * r))
    assert r == pytest.approx(step * m / math.sqrt(v), rel=1e-10)
    assert 0 < r < math.log(1 / b2) / 2


def test_decay_inside_the_average_is_noticed(monkeypatch):
    true = Decoupled.shrink
    monkeypatch.setattr(decay, "ADAMWS", decay.ADAMWS[:1])
    monkeypatch.setattr(Decoupled, "shrink", lambda self, a, rate: true(replace(self, lam=0.99 * self.lam), a, rate))
    assert any("from" in what or "predicted" in what for what in failing(decay.adamw_barrier()))


def test_a_ridge_of_one_factor_is_noticed(monkeypatch):
    true = L2.pull

    def keys_only(self, pull, arrays):
        held = {name: x if name != "Q" else np.zeros_like(x) for name, x in arrays.items()}
        return true(self, pull, held)

    monkeypatch.setattr(decay, "RIDGE_STEPS", 1000)
    monkeypatch.setattr(L2, "pull", keys_only)
    assert any("at rest" in what for what in failing(decay.ridge_duality()))


def test_another_number_of_the_svm_is_noticed(monkeypatch):
    monkeypatch.setattr(decay, "RIDGES", ())
    monkeypatch.setattr(decay, "slack_constant", weight_entropy)
    assert any("late path" in what for what in failing(decay.ridge_duality()))


def test_a_step_of_another_norm_is_noticed(monkeypatch):
    monkeypatch.setattr(geometries, "TABLE", geometries.TABLE[1:2])
    monkeypatch.setattr(geometries, "STEPS", 500)
    monkeypatch.setattr(Sign, "direction", lambda self, pull: GEOMETRIES["euclidean"].direction(pull))
    assert failing(geometries.steepest_norms())


def test_muon_with_the_exact_polar_factor_is_noticed(monkeypatch):
    monkeypatch.setattr(rule, "newton_schulz", polar)
    assert len([what for what in failing(muon.muon_as_shipped()) if "five Newton-Schulz steps" in what]) == 2


def test_muon_without_its_eps_is_noticed(monkeypatch):
    true = muon._runs
    monkeypatch.setattr(muon, "_runs", lambda made: true(replace(made, eps=0.0) if hasattr(made, "eps") else made))
    assert any("as shipped" in what for what in failing(muon.muon_as_shipped()))


def test_another_constant_is_noticed(monkeypatch):
    monkeypatch.setattr(geometries, "PAIRS", ())
    monkeypatch.setattr(geometries, "slack_constant", lambda kappa, dual: 1.01 * weight_entropy(kappa, dual))
    geometries._slack.cache_clear()
    assert failing(geometries.gap_times_margin())
    geometries._slack.cache_clear()


def test_unit_margin():
    for norm in ("entry-linf", "operator"):
        made = steps.of_unit_margin(1, norm)
        assert steps.least(made, norm).value == pytest.approx(1.0, rel=1e-8)


def test_newton_on_the_ridge_path_is_at_a_stationary_point():
    """Against the multipliers' own equation, in the other direction: W from r, margins from W."""
    name = decay.LATE_ON[1]
    margin, found, limit = decay._late(name, 100.0)
    again, closer, same = decay._late(name, 1000.0)
    assert limit == same and abs(closer - limit) < abs(found - limit)
    assert 50 < margin < 100 < again < 1000
    assert solve(decay.load(name), "frobenius").status.name == "optimal"


@pytest.mark.long
def test_the_threshold_on_more_problems_and_further(monkeypatch):
    monkeypatch.setattr(memory, "PROBLEMS", 20)
    monkeypatch.setattr(memory, "STEPS", 4000)
    assert not failing(memory.momentum_threshold())


@pytest.mark.long
def test_the_table_on_more_problems(monkeypatch):
    monkeypatch.setattr(geometries, "PROBLEMS", 12)
    assert not failing(geometries.steepest_norms())

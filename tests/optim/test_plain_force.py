"""The force of steps is that of the flow, to a few roundings, and the logits it reads are left as they are."""

import numpy as np
import pytest

from marginflow.losses import parse_loss
from marginflow.model.force import force
from marginflow.model.logits import ABSENT, Logits
from marginflow.model.objective import Objective
from marginflow.model.registry import parse_parameterization
from marginflow.optim.plain_force import PlainForce
from marginflow.problem.problem import Problem


def objective(n, T, loss, *, runs=1, spread=1.0, ragged=False, seed=0):
    rng = np.random.default_rng(seed)
    problems = []
    for _ in range(runs):
        scores = spread * rng.standard_normal((n, T))
        mask = np.ones((n, T), dtype=bool)
        if ragged:
            mask[0, 2:] = mask[-1, -1] = False
        problems.append(Problem(rng.standard_normal((n, T, 3)), rng.standard_normal((n, 3)), scores, mask=mask))
    return Objective.of(problems, parse_parameterization("w"), parse_loss(loss)), rng


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0, 3e3, 1e6, 1e11])
@pytest.mark.parametrize("ragged", [False, True])
def test_it_is_the_force_of_the_flow(loss, size, ragged):
    for runs in (1, 4):
        made, rng = objective(5, 4, loss, runs=runs, ragged=ragged)
        s = size * rng.standard_normal((4, 5, 4))
        s = np.where(made.tokens.mask, s, ABSENT)
        before = s.copy()
        got, want = PlainForce(made).of(s), force(Logits(s, np.zeros_like(s)), made.tokens.scores, made.loss)
        assert np.array_equal(s, before)
        assert np.abs(got.f - want.f).max() < 4e-15
        assert np.abs(got.log_norm / want.log_norm - 1.0).max() < 1e-14
        assert np.abs(got.f * ~made.tokens.mask).max() == 0.0


def test_one_sample_and_one_run_are_not_written_over():
    made, rng = objective(1, 3, "exponential")
    s = rng.standard_normal((1, 1, 3))
    before = s.copy()
    PlainForce(made).of(s)
    assert np.array_equal(s, before)


def test_samples_of_very_different_scores_keep_their_digits():
    """Factors e^-u of 1e5: counting exponents from anything but the largest loses them all."""
    made, rng = objective(4, 3, "exponential", spread=1e5)
    s = 5.0 * rng.standard_normal((6, 4, 3))
    got, want = PlainForce(made).of(s), force(Logits(s, np.zeros_like(s)), made.tokens.scores, made.loss)
    assert np.abs(got.f - want.f).max() < 1e-10 and np.abs(got.log_norm - want.log_norm).max() < 1e-8


def test_scores_of_1e_minus_170_and_ties_on_top():
    made, rng = objective(3, 4, "exponential", spread=1e-170)
    s = rng.standard_normal((2, 3, 4))
    got, want = PlainForce(made).of(s), force(Logits(s, np.zeros_like(s)), made.tokens.scores, made.loss)
    assert np.abs(got.f - want.f).max() < 1e-13 and np.allclose(got.log_norm, want.log_norm, rtol=1e-13)
    tied = s.copy()
    tied[:, 0, 1] = tied[:, 0, 2] = 9.0
    got, want = PlainForce(made).of(tied), force(Logits(tied, 0 * tied), made.tokens.scores, made.loss)
    assert np.abs(got.f - want.f).max() < 1e-13


def test_where_nothing_pulls_the_force_is_zero():
    made, rng = objective(3, 4, "exponential", ragged=True)
    plain = PlainForce(made)
    s = np.where(made.tokens.mask, rng.standard_normal((2, 3, 4)), ABSENT)
    none = plain.of(s, np.zeros((4, 3, 1)))
    assert (none.f == 0.0).all() and np.isneginf(none.log_norm).all()
    drawn = np.array([False, True, False])
    some = plain.of(s, np.where(drawn[:, None], plain.scores, 0.0))
    assert (some.f[:, ~drawn] == 0.0).all() and np.allclose(np.linalg.norm(some.f, axis=(1, 2)), 1.0)


def test_padding_does_not_pull_where_all_tokens_tie():
    made, rng = objective(3, 4, "exponential", ragged=True)
    s = np.where(made.tokens.mask, rng.standard_normal((2, 3, 4)), ABSENT)
    tied = np.where(made.tokens.mask, 1.0, 0.0).transpose(2, 1, 0)
    assert np.isneginf(PlainForce(made).of(s, tied).log_norm).all()

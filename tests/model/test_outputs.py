"""Rows that add up in outputs: force, response and excess against their definition, and heads against the lift."""

import mpmath
import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.losses import parse_loss
from marginflow.model.heads import draw, map_of, sized, start
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.model.outputs import Outputs
from marginflow.selection.barrier import log_barrier
from several_heads import lifted, several_heads


def in_many_digits(problem, s, loss):
    """-dL/ds and L - L* of the mean loss over outputs, from their definition."""
    value = {"exponential": lambda u: mpmath.exp(-u), "logistic": lambda u: mpmath.log(1 + mpmath.exp(-u))}[loss]
    slope = {"exponential": lambda u: mpmath.exp(-u), "logistic": lambda u: 1 / (1 + mpmath.exp(u))}[loss]
    m, rows = problem.counts[0], []
    u, best = [mpmath.mpf(0)] * m, [mpmath.mpf(0)] * m
    for i in range(problem.n):
        there = [mpmath.mpf(float(g)) for g in problem.scores[i][problem.mask[i]]]
        w = [mpmath.exp(mpmath.mpf(float(x))) for x in s[i][problem.mask[i]]]
        p = [x / sum(w) for x in w]
        mean = sum(a * b for a, b in zip(p, there, strict=True))
        u[problem.output[i]] += mean
        best[problem.output[i]] += max(there)
        rows.append((p, there, mean))
    F = [[slope(u[problem.output[i]]) / m * a * (g - mean) for a, g in zip(p, there, strict=True)]
         for i, (p, there, mean) in enumerate(rows)]  # fmt: skip
    return F, sum(value(a) - value(b) for a, b in zip(u, best, strict=True)) / m


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize("size", [1.0, 40.0, 2000.0])
def test_force_and_excess_of_outputs_have_all_their_digits(loss, size):
    problem = several_heads(int(size), missing=2)
    s = size * np.random.default_rng(3).standard_normal(problem.mask.shape)
    objective = Objective.of([problem], mf.Combined(), parse_loss(loss))
    logits = Logits.of(s[None], problem.mask[None])
    got = objective.force(logits)
    with mpmath.workdps(7000 if size > 100 else 200):
        F, excess = in_many_digits(problem, s, loss)
        norm = mpmath.sqrt(sum(x * x for row in F for x in row))
        want = np.zeros_like(s)
        want[problem.mask] = [float(x / norm) for row in F for x in row]
        log_norm, log_excess = float(mpmath.log(norm)), float(mpmath.log(excess))
    assert np.abs(got.f[0] - want).max() < 1e-11
    assert got.log_norm[0] == pytest.approx(log_norm, rel=1e-13, abs=1e-12)
    assert objective.log_excess(logits)[0] == pytest.approx(log_excess, rel=1e-13, abs=1e-12)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_the_response_of_outputs_is_the_derivative(loss):
    problem = several_heads(1, missing=1)
    rng = np.random.default_rng(0)
    objective = Objective.of([problem], mf.Combined(), parse_loss(loss))
    shape = (3, *problem.mask.shape)
    s = Logits.of(rng.standard_normal(shape), np.broadcast_to(problem.mask, shape))
    r = rng.standard_normal(shape) * problem.mask
    at, up, down = (objective.force(s.moved(e * r)) for e in (0.0, 1e-6, -1e-6))
    assert np.abs((up.f - down.f) / 2e-6 - at.jvp(r)).max() < 1e-8
    assert np.abs((down.log_norm - up.log_norm) / 2e-6 - at.psi_rate(r)).max() < 1e-8


def test_sums_of_outputs_in_any_order():
    outputs = Outputs([2, 0, 1, 0])
    assert not outputs.alone and outputs.m == 3
    assert outputs.sum(np.array([[1.0, 2.0, 3.0, 5.0]])).tolist() == [[7.0, 3.0, 1.0]]
    assert np.allclose(outputs.logsumexp(np.log([[1.0, 2.0, 3.0, 5.0]])), np.log([[7.0, 3.0, 1.0]]))
    assert outputs.spread(np.array([7.0, 3.0, 1.0])).tolist() == [1.0, 7.0, 3.0, 7.0]
    assert Outputs.of(several_heads(0)) is not None and Outputs.of(mf.load("angle")) is None


@pytest.mark.parametrize("kind", [mf.KeyQuery(3), mf.Combined()], ids=lambda k: k.word)
def test_heads_are_the_blocks_of_the_lifted_problem(kind):
    """Logits, pull and a step's linear algebra: those of block-diagonal weights, off the blocks exactly 0."""
    problem = several_heads(2, outputs=3, tokens=4, d=3, missing=1)
    whole = lifted(problem)
    H, d, loss = 2, 3, parse_loss("logistic")
    objective = Objective.of([problem], kind, loss)
    rng = np.random.default_rng(1)
    arrays = start(kind, problem, draw(kind, problem, rng, 0.7))
    theta = map_of(kind, problem).pack(arrays)[None]
    W = objective.map.weights(theta)
    blocks = np.zeros((1, H, d, H, d))
    blocks[:, [0, 1], :, [0, 1]] = W.transpose(1, 0, 2, 3)
    flat = Objective.of([whole], mf.Combined(), loss)
    s = objective.logits(theta)
    assert np.allclose((s.high + s.low)[0], flat.logits(blocks.reshape(1, H * d, H * d)).high[0], atol=1e-13)
    f = objective.force(s).f
    G = objective.tokens.adjoint(f)
    lifted_G = flat.tokens.adjoint(f).reshape(1, H, d, H, d)
    assert np.allclose(lifted_G[0, [0, 1], :, [0, 1]], G[0], atol=1e-15)
    assert not lifted_G[0, 0, :, 1].any() and not lifted_G[0, 1, :, 0].any()
    x, z = objective.tokens.gather(np.concatenate(objective.tokens.places)[None])
    own = objective.map.resolvent(theta, objective.map.vjp(theta, G), G, np.array([2.0]))
    a = x.shape[1] // H
    assert not own.kernel(x, z)[0, :a, a:].any() and own.kernel(x, z)[0, :a, :a].any()


def test_the_barrier_is_the_least_rise_of_any_row_of_any_output():
    problem = several_heads(5, missing=1)
    for word, value in (("exponential", lambda u: np.exp(-u)), ("logistic", lambda u: np.log1p(np.exp(-u)))):
        best = np.bincount(problem.output, [row[m].max() for row, m in zip(problem.scores, problem.mask, strict=True)])
        rises = []
        for i in range(problem.n):
            there = np.sort(problem.scores[i][problem.mask[i]])
            u = best[problem.output[i]]
            rises.append((value(u - (there[-1] - there[-2]) / 4) - value(u)) / problem.counts[0])
        assert log_barrier(problem, parse_loss(word)) == pytest.approx(np.log(min(rises)), abs=1e-9)


def test_a_start_has_one_block_per_head():
    problem = several_heads(0)
    K, Q = np.ones((2, 8, 3)), np.ones((2, 8, 3))
    kind = sized(mf.KeyQuery(), problem, (K, Q))
    assert kind.width == 3
    assert {name: a.shape for name, a in start(kind, problem, (K, Q)).items()} == {"K": (2, 8, 3), "Q": (2, 8, 3)}
    assert start(mf.Combined(), problem, np.ones((2, 8, 8)))["W"].shape == (2, 8, 8)
    with pytest.raises(InputError, match="expected 2 heads as the first axis"):
        start(kind, problem, (K[0], Q[0]))
    with pytest.raises(InputError, match="got 1 arrays; expected K, Q, each with 2 heads first"):
        start(kind, problem, (K,))
    with pytest.raises(InputError, match="K and Q are all zero"):
        start(kind, problem, (np.stack([K[0], 0 * K[0]]), np.stack([Q[0], 0 * Q[0]])))

"""Positions as coordinates: the logits of the lifted problem are those of the model with positions."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem.lifts import add_positions, relative_bias, rotary


DRAW = np.random.default_rng(0)
X, Z, S = DRAW.standard_normal((3, 4, 2)), DRAW.standard_normal((3, 2)), DRAW.standard_normal((3, 4))
DELTA = np.arange(3, -1, -1)


def test_rotary_tokens_have_the_logits_of_rotated_keys_and_queries():
    """Written with complex numbers: Re e^{-i delta theta} x'(A + iB) z, one pair of matrices per frequency."""
    theta = np.array([1.0, 0.1, 0.01])
    A, B = DRAW.standard_normal((2, 3, 2, 2))
    want = np.zeros((3, 4))
    for f in range(3):
        turn = np.exp(-1j * DELTA * theta[f])
        want += (turn * np.einsum("ntd,de,ne->nt", X, A[f] + 1j * B[f], Z)).real
    lifted = rotary(X, DELTA, theta)
    W = np.concatenate([M for f in range(3) for M in (A[f], B[f])])
    np.testing.assert_allclose(np.einsum("ntd,de,ne->nt", lifted, W, Z), want, atol=1e-12)
    same = rotary(X, np.broadcast_to(DELTA, (3, 4)), theta)
    np.testing.assert_array_equal(lifted, same)
    path = mf.integrate(mf.Problem(lifted, Z, S), "w", until_margin=1e3)
    assert path.status.name == "minimal_loss"


def test_a_relative_bias_is_added_to_the_logits():
    W, bias = DRAW.standard_normal((2, 2)), DRAW.standard_normal(4)
    tokens, queries = relative_bias(X, Z, DELTA)
    full = np.zeros((6, 3))
    full[:2, :2], full[2:, 2] = W, bias
    want = np.einsum("ntd,de,ne->nt", X, W, Z) + bias[DELTA]
    np.testing.assert_allclose(np.einsum("ntd,de,ne->nt", tokens, full, queries), want, atol=1e-13)


def test_additive_positions_part_tokens_that_are_the_same():
    word = np.ones((1, 3, 2))
    with pytest.raises(mf.InputError, match="every token"):
        mf.Problem(word, [[1.0]], [[1.0, 1.0, 1.0]])
    P = DRAW.standard_normal((5, 2))
    problem = mf.Problem(add_positions(word, P), [[1.0]], [[1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(problem.X[0], 1.0 + P[:3])


def test_temperature_is_a_scale_of_the_queries():
    a, b = mf.Problem(X, Z, S), mf.Problem(X, Z / 0.5, S)
    one, two = (mf.solve(p, "nuclear").value for p in (a, b))
    assert two == pytest.approx(0.5 * one, rel=1e-8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: add_positions(X, np.ones((3, 2))),
        lambda: add_positions(X, np.ones((4, 3))),
        lambda: rotary(X, np.arange(3), [1.0]),
        lambda: rotary(X, DELTA, []),
        lambda: relative_bias(X, Z, DELTA + 0.5),
        lambda: relative_bias(X, Z, DELTA - 1),
        lambda: relative_bias(X, Z, DELTA[:2]),
        lambda: relative_bias(X, Z, DELTA * 10**12),
        lambda: relative_bias(X, Z, DELTA * 10**7),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(mf.InputError, match="expected"):
        call()

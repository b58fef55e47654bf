"""The law is recognised from what the dot product receives, whatever it is called."""

import numpy as np
import pytest

from marginflow.heads.rotary import Rotary
from marginflow.watch.recognise import ACROSS, best_blocks, recognise


RANDOM = np.random.default_rng(3)
N, T, M = 2, 12, 8
PLACES = np.arange(T, dtype=float)
ANGLES = 100.0 ** -np.linspace(0, 1, M // 2, endpoint=False)


def unit(x, eps=0.0):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def rows():
    whole = RANDOM.standard_normal((N, T, 3 * M))
    return whole[..., M : 2 * M], whole


def used(y, kind):
    gains = np.linspace(0.5, 2.0, M)
    centred = y - y.mean(-1, keepdims=True)
    return {
        "plain": lambda: -0.3 * y,
        "halves": lambda: 0.3 * Rotary(ANGLES).apply(y, PLACES),
        "neighbours": lambda: Rotary(ANGLES, "neighbours").apply(y, PLACES),
        "partial": lambda: Rotary(ANGLES[:2]).apply(y, PLACES),
        "partial neighbours": lambda: Rotary(ANGLES[:3], "neighbours").apply(y, PLACES),
        "norm": lambda: gains * unit(y, 1e-6),
        "norm, halves": lambda: Rotary(ANGLES).apply(gains * unit(y, 1e-6), PLACES),
        "norm, neighbours": lambda: Rotary(ANGLES, "neighbours").apply(gains * unit(y, 1e-6), PLACES),
        "layer norm": lambda: gains * unit(centred, 1e-5) + 0.1,
        "layer norm, halves": lambda: Rotary(ANGLES).apply(gains * unit(centred) + 0.1, PLACES),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "pairs", "pairing"),
    [
        ("plain", 0, None),
        ("halves", 4, "halves"),
        ("neighbours", 4, "neighbours"),
        ("partial", 2, "halves"),
        ("partial neighbours", 3, "neighbours"),
    ],
)
def test_rotations_and_their_pairs(kind, pairs, pairing):
    y, whole = rows()
    u = used(y, kind).astype(np.float32).astype(float)
    found = recognise(y, u, whole)
    assert found.gains is None and not found.refused
    assert found.factor == pytest.approx({"plain": -0.3, "halves": 0.3}.get(kind, 1.0), rel=1e-6)
    if pairs:
        assert (found.rotation.turned, found.rotation.pairing) == (2 * pairs, pairing)
        np.testing.assert_allclose(found.rotation.angles, ANGLES[:pairs], atol=1e-5)
    else:
        assert found.rotation is None
    assert found.fits(y, u, 1e-4) and not found.fits(y, 1.01 * u, 1e-4)


@pytest.mark.parametrize("kind", ["norm", "norm, halves", "norm, neighbours", "layer norm", "layer norm, halves"])
def test_norms_and_their_gains(kind):
    y, whole = rows()
    found = recognise(y, used(y, kind), whole)
    assert found.rotation is None and not found.refused
    np.testing.assert_allclose(found.gains, np.linspace(0.5, 2.0, M), rtol=1e-3)


def test_what_is_none_of_these_is_not_recognised():
    y, whole = rows()
    assert recognise(y, np.tanh(y), whole) is None
    assert recognise(y, y + 0.01 * RANDOM.standard_normal(y.shape), whole) is None
    assert recognise(y, Rotary(ANGLES).apply(y, PLACES) * np.linspace(1, 1.01, M), whole) is None
    assert recognise(y, np.full_like(y, np.nan), whole) is None
    across = y / np.sqrt((whole**2).mean(-1, keepdims=True))
    assert recognise(y, across, whole).refused == ACROSS


def test_kinds_are_alike_or_not():
    y, whole = rows()
    kinds = ["plain", "halves", "neighbours", "partial", "norm"]
    found = {kind: recognise(y, used(y, kind), whole) for kind in kinds}
    for a in kinds:
        for b in kinds:
            assert found[a].alike(found[b]) == (a == b)


@pytest.mark.parametrize("kind", ["plain", "halves", "neighbours", "partial", "norm", "norm, halves", "layer norm"])
def test_the_right_block_stands_out(kind):
    blocks = RANDOM.standard_normal((12, N, T, M))
    order = RANDOM.permutation(12)[:5]
    heads = np.array([used(blocks[i], kind) for i in order])
    found = best_blocks(heads.reshape(5, N * T, M), blocks.reshape(12, N * T, M))
    assert found[:, 0].tolist() == order.tolist()

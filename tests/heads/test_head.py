"""Heads by hand: what is accepted, what is refused, and which law they have."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError


K, Q = np.random.default_rng(0).standard_normal((2, 4, 6))
GRAM = Q @ Q.T


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "plain"),
        ({"shared": 3 * GRAM, "group": 3}, "gqa"),
        ({"rotary": [1.0, 0.1]}, "rope"),
        ({"rotary": [1.0], "shared": 2 * GRAM, "group": 2}, "rope+gqa"),
        ({"gains": (np.ones(4), np.ones(4)), "rotary": [1.0]}, "qk-norm"),
        ({"slope": 0.5}, "plain"),
    ],
)
def test_the_law_follows_from_what_stands_between(options, word):
    assert mf.Head(K, Q, 0.5, **options).law.word == word


@pytest.mark.parametrize(
    "options",
    [
        {"K": K[:3]},
        {"K": K[0]},
        {"K": np.where(K == K[0, 0], np.nan, K)},
        {"K": np.zeros((0, 6)), "Q": np.zeros((0, 6))},
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": np.nan},
        {"rotary": [1.0, 2.0, 3.0]},
        {"rotary": []},
        {"rotary": [1.0], "pairing": "thirds"},
        {"gains": (np.ones(3), np.ones(4))},
        {"shared": np.eye(3), "group": 2},
        {"shared": np.eye(4)},
    ],
)
def test_what_cannot_be_a_head_is_refused(options):
    with pytest.raises(InputError):
        mf.Head(**({"K": K, "Q": Q, "scale": 0.5} | options))


def test_inputs_of_another_width_are_refused():
    with pytest.raises(InputError, match="width 4"):
        mf.Head(K, Q, 0.5).keys(np.ones((2, 4)))


def test_a_head_is_read_only_and_owns_its_arrays():
    own = K.copy()
    head = mf.Head(own, Q, 0.5)
    own[0, 0] = 7.0
    assert head.K[0, 0] == K[0, 0]
    with pytest.raises(ValueError):
        head.K[0, 0] = 1.0


def test_a_head_shows_where_it_is_and_no_arrays():
    head = mf.Head(np.ones((4, 9)), np.ones((4, 7)), 0.5, layer=2, head=3)
    assert repr(head) == "Head(layer 2, head 3: K 4 x 9, Q 4 x 7, scale 0.5, law plain)"

"""Masks, lengths and masked arrays: each way people hold ragged data gives one problem, or one sentence."""

import numpy as np
import pytest

import marginflow as mf


DRAW = np.random.default_rng(3)
LENGTHS = np.array([2, 4, 3])
MASK = np.arange(4) < LENGTHS[:, None]
X = np.where(MASK[:, :, None], DRAW.standard_normal((3, 4, 2)), 0.0)
Z = DRAW.standard_normal((3, 2))
SCORES = np.where(MASK, DRAW.standard_normal((3, 4)), 0.0)
PLAIN = mf.Problem([x[m] for x, m in zip(X, MASK)], Z, [s[m] for s, m in zip(SCORES, MASK)])


def same(problem):
    return all(
        np.array_equal(getattr(problem, name), getattr(PLAIN, name)) for name in ("X", "z", "scores", "mask", "optimal")
    )


JUNK = np.where(MASK[:, :, None], X, 9.0)
"""What padding may hold: it is never read."""

WAYS = {
    "booleans": lambda: mf.Problem(JUNK, Z, SCORES, mask=MASK),
    "ones and zeros": lambda: mf.Problem(JUNK, Z, SCORES, mask=MASK.astype(float)),
    "lists of booleans": lambda: mf.Problem(JUNK, Z, SCORES, mask=MASK.tolist()),
    "lengths": lambda: mf.Problem(JUNK, Z, SCORES, mask=LENGTHS),
    "list of lengths": lambda: mf.Problem(JUNK, Z, SCORES, mask=[2, 4, 3]),
    "masked scores": lambda: mf.Problem(JUNK, Z, np.ma.array(SCORES + 5 * ~MASK, mask=~MASK)),
    "masked tokens": lambda: mf.Problem(np.ma.array(JUNK, mask=np.repeat(~MASK[:, :, None], 2, 2)), Z, SCORES),
    "both masked": lambda: mf.Problem(
        np.ma.array(JUNK, mask=np.repeat(~MASK[:, :, None], 2, 2)), Z, np.ma.array(SCORES, mask=~MASK)
    ),
    "masked and mask": lambda: mf.Problem(JUNK, Z, np.ma.array(SCORES, mask=~MASK), mask=LENGTHS),
    "NaN below the mask": lambda: mf.Problem(
        np.where(MASK[:, :, None], X, np.nan), Z, np.ma.masked_invalid(np.where(MASK, SCORES, np.nan))
    ),
}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_every_way_of_ragged_data_is_the_same_problem(make):
    assert same(make())


def test_a_head_sees_the_same_tokens_through_a_masked_array():
    hidden = np.ma.array(JUNK, mask=np.repeat(~MASK[:, :, None], 2, 2))
    y, v = [1, -1, 1], [0.3, -0.7]
    by_mask = mf.Problem.from_head(JUNK, Z, y, v, mask=MASK)
    assert np.array_equal(mf.Problem.from_head(hidden, Z, y, v).scores, by_mask.scores)


HALF = np.repeat(np.arange(4)[None] < 2, 3, axis=0)
PADDED = np.where(HALF[:, :, None], DRAW.standard_normal((3, 4, 2)), 0.0)
HIDDEN = np.ma.array(JUNK, mask=np.repeat(~MASK[:, :, None], 2, 2))
LOOSE = DRAW.standard_normal((3, 4))
PARTLY = np.zeros((3, 4, 2), dtype=bool)
PARTLY[1, 2, 0] = True
REFUSED = {
    "some features hidden": (lambda: mf.Problem(np.ma.array(X, mask=PARTLY), Z, SCORES), "features of token 2 of samp"),
    "two masked arrays that disagree": (
        lambda: mf.Problem(HIDDEN, Z, np.ma.array(LOOSE, mask=HALF)),
        "same in both",
    ),
    "masked array against mask": (
        lambda: mf.Problem(JUNK, Z, np.ma.array(SCORES, mask=~MASK), mask=np.ones((3, 4), dtype=bool)),
        "mask: got other tokens",
    ),
    "masked queries": (
        lambda: mf.Problem(JUNK, np.ma.array(Z, mask=Z > 0), SCORES, mask=MASK),
        "z: got a masked array",
    ),
    "masked rows in a list": (
        lambda: mf.Problem([np.ma.array(x, mask=x > 0) for x in X], Z, SCORES),
        r"X\[0\]: got a masked array",
    ),
    "masked labels": (
        lambda: mf.Problem.from_head(JUNK, Z, np.ma.array([1, 1, -1], mask=[0, 0, 1]), [1, 2], mask=MASK),
        "y: got a masked array that hides 1",
    ),
    "added to logits": (
        lambda: mf.Problem(JUNK, Z, SCORES, mask=np.where(MASK, 0.0, -np.inf)),
        "added == 0",
    ),
    "added to logits, finite": (lambda: mf.Problem(JUNK, Z, SCORES, mask=np.where(MASK, 0.0, -1e9)), "added == 0"),
    "inverted": (lambda: mf.Problem(PADDED, Z, LOOSE, mask=~HALF), "inverted: pass ~mask"),
    "inverted, padded with a token": (
        lambda: mf.Problem(np.where(HALF[:, :, None], PADDED, [7.0, 1.0]), Z, LOOSE, mask=~HALF),
        "inverted",
    ),
    "a length too long": (lambda: mf.Problem(JUNK, Z, SCORES, mask=[2, 5, 3]), "length 5 for sample 1"),
    "a length below two": (lambda: mf.Problem(JUNK, Z, SCORES, mask=[2, 1, 3]), "1 token.s. in sample 1"),
    "too few lengths": (lambda: mf.Problem(JUNK, Z, SCORES, mask=[2, 3]), r"here \(3, 4\)"),
    "one row of a mask": (lambda: mf.Problem(JUNK, Z, SCORES, mask=[True, True, False]), r"shape \(3,\)"),
    "a mask per query": (
        lambda: mf.Problem(JUNK, Z, SCORES, mask=np.ones((3, 4, 4), dtype=bool)),
        "take the row of the query",
    ),
    "axes of length one": (
        lambda: mf.Problem(JUNK, Z, SCORES, mask=MASK[:, None, None]),
        "drop the axes of length 1",
    ),
    "everything hidden": (lambda: mf.Problem(JUNK, Z, SCORES, mask=np.zeros((3, 4))), "True where a token exists"),
}


@pytest.mark.parametrize("make, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_with_words(make, words):
    with pytest.raises(mf.InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_equal_tokens_that_a_right_mask_keeps_are_no_reason_to_refuse():
    """One sample of copies among others, or junk in the padding, is not an inverted mask."""
    tokens = X.copy()
    tokens[0, :2] = 0.0
    tokens[0, 1, 0] = 1.0
    assert mf.Problem(np.where(MASK[:, :, None], tokens, 5.0), Z, SCORES, mask=MASK).n == 3

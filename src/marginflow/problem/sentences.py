"""Words as tokens: twelve sentences about films written for this package, each with an opinion to find.

Nothing here is learned, and nothing is said about language: the sentences, the opinions in `OPINIONS` and the
labels are made up, and the vector of a word is a direction drawn from the hash of its letters, with the opinion as
one more coordinate, which is all that the head reads. Words without an opinion are neutral; in every sentence one
word has the strongest opinion on the side of the label, and most have a weaker one or one on the other side to
distract. The query is the mean of the sentence's vectors and a constant. It shows what attention maps of words
look like, on data that are known through and through.
"""

import hashlib
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


SENTENCES: Final = (
    (1, "a superb film with one dull scene"),
    (-1, "good actors lost in a dreadful script"),
    (1, "the plot is thin but the music is wonderful"),
    (-1, "a tedious story told with pleasant pictures"),
    (1, "funny and moving from start to end"),
    (-1, "the jokes are stale and the ending is awful"),
    (1, "what a delightful surprise after a slow start"),
    (-1, "two clever scenes cannot save this mess"),
    (1, "weak dialogue yet a brilliant cast"),
    (-1, "the trailer is good and the rest is boring"),
    (1, "a charming little film"),
    (-1, "so dull that even the superb cast looks dreadful"),
)
"""Label and words."""

OPINIONS: Final = {
    "superb": 2.0,
    "wonderful": 2.0,
    "brilliant": 2.0,
    "delightful": 2.0,
    "moving": 1.5,
    "charming": 1.5,
    "clever": 1.0,
    "funny": 1.0,
    "good": 1.0,
    "pleasant": 1.0,
    "thin": -1.0,
    "weak": -1.0,
    "stale": -1.0,
    "slow": -0.5,
    "dull": -1.0,
    "boring": -1.5,
    "tedious": -1.5,
    "mess": -2.0,
    "awful": -2.0,
    "dreadful": -2.0,
}
"""How a word speaks of a film; 0 where it is not listed."""


def sentences(n: int = 12, d: int = 16, seed: int = 0, *, name: str = "") -> Problem:
    """The first `n` sentences as a problem, with their words as token names.

    Args:
        n: how many sentences, 1 to 12.
        d: token dimension: d - 1 coordinates drawn from the word's hash, of length 1 together, and its opinion.
        seed: of the draw.

    Returns:
        A problem with up to 9 tokens per sample, d_z = d + 1, and scores y v'x with v the opinion coordinate.

    Raises:
        InputError: not that many sentences, or fewer than 2 dimensions.
    """
    if not 1 <= n <= len(SENTENCES) or not 2 <= d <= 4096 or seed < 0:
        raise InputError(
            f"sentences: got n={n}, d={d}, seed={seed}; expected n in 1..{len(SENTENCES)}, d in 2..4096 and seed >= 0"
        )
    chosen = SENTENCES[:n]
    rows = [text.split() for _, text in chosen]
    X = [np.array([_vector(word, d, seed) for word in row]) for row in rows]
    z = np.array([[*tokens.mean(axis=0), 1.0] for tokens in X])
    v = np.zeros(d)
    v[-1] = 1.0
    return Problem.from_head(
        X,
        z,
        np.array([float(label) for label, _ in chosen]),
        v,
        name=name or f"sentences:n={n},d={d},seed={seed}",
        token_names=rows,
        sample_names=[f"review {i + 1} ({'praise' if label > 0 else 'blame'})" for i, (label, _) in enumerate(chosen)],
    )


def _vector(word: str, d: int, seed: int) -> Floats:
    letters = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    draw = np.random.default_rng([seed, letters]).standard_normal(d - 1)
    return np.array([*(draw / np.linalg.norm(draw)), OPINIONS.get(word, 0.0)])

"""Real data as tokens: the UCI optical digits bundled with the package (see data/LICENSE-digits.txt).

An image of 8 x 8 grey levels becomes nine tokens: its overlapping 4 x 4 patches (stride 2), each with its
16 pixels, the two coordinates of its centre in [-1, 1] and a constant, so d = 19. The query is the image's
leading `components` principal components and a constant. The head is a ridge classifier of the mean token.
Components and head come from images of the two digits that are never part of a problem, so nothing that
is measured on the problem was fitted to it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


HELD_OUT = 150
"""Images of the two digits kept for the head and the principal components."""

PATCH_CORNERS = [(row, column) for row in (0, 2, 4) for column in (0, 2, 4)]
"""Upper left corner of each patch, in token order."""


@dataclass(frozen=True, eq=False)
class DigitImages:
    """The images behind a digits problem, for pictures: (n, 8, 8) grey levels 0..16 and (n,) digits."""

    images: Floats
    digits: Ints


def digits(
    a: int = 3,
    b: int = 8,
    n: int = 20,
    seed: int = 0,
    components: int = 16,
    ridge: float = 1.0,
    *,
    name: str = "",
) -> Problem:
    """Patches of `n` images of digit `a` (label +1) or `b` (label -1) as a problem.

    Args:
        a, b: the two digits.
        n: how many images; about 200 are available for most pairs.
        seed: which images, and which are held out.
        components: principal components in the query; d_z = components + 1.
        ridge: penalty of the head's ridge regression.

    Returns:
        A problem with T = 9 tokens of d = 19 and scores y v'x.

    Raises:
        InputError: not two different digits, or more images than there are.
    """
    chosen, rest = _split(a, b, n, seed)
    if not 1 <= components <= 64:
        raise InputError(f"digits: got components={components}; expected 1..64")
    if not (np.isfinite(ridge) and ridge > 0):
        raise InputError(f"digits: got ridge={ridge:g}; expected a positive number")
    images, labels = _archive()
    sign = np.where(labels == a, 1.0, -1.0)

    flat = images[rest].reshape(len(rest), 64) / 16
    centre = flat.mean(axis=0)
    axes = np.linalg.svd(flat - centre, full_matrices=False)[2][:components]
    # The sign of a singular vector is arbitrary: fix it, so that every machine makes the same problem.
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    mean_token = patches(images[rest]).mean(axis=1)
    gram = mean_token.T @ mean_token + ridge * np.eye(mean_token.shape[1])
    v = np.linalg.solve(gram, mean_token.T @ sign[rest])

    code = (images[chosen].reshape(n, 64) / 16 - centre) @ axes.T
    z = np.hstack([code, np.ones((n, 1))])
    default = f"digits:a={a},b={b},n={n},seed={seed}"
    if (components, ridge) != (16, 1.0):
        default += f",components={components},ridge={ridge:g}"
    return Problem.from_head(patches(images[chosen]), z, sign[chosen], v, name=name or default)


def digit_images(a: int = 3, b: int = 8, n: int = 20, seed: int = 0) -> DigitImages:
    """The images that `digits` with the same arguments cuts into tokens, in the same order."""
    chosen, _ = _split(a, b, n, seed)
    images, labels = _archive()
    return DigitImages(images[chosen], labels[chosen])


def patches(images: Floats) -> Floats:
    """(n, 9, 19) tokens of (n, 8, 8) images: pixels / 16, centre coordinates, constant."""
    out = np.ones((len(images), 9, 19))
    for token, (row, column) in enumerate(PATCH_CORNERS):
        out[:, token, :16] = images[:, row : row + 4, column : column + 4].reshape(len(images), 16) / 16
        out[:, token, 16:18] = (row - 2) / 2, (column - 2) / 2
    return out


def _split(a: int, b: int, n: int, seed: int) -> tuple[Ints, Ints]:
    if a == b or not {a, b} <= set(range(10)):
        raise InputError(f"digits: got a={a}, b={b}; expected two different digits in 0..9")
    _, labels = _archive()
    pool = np.flatnonzero((labels == a) | (labels == b))
    if not 1 <= n <= len(pool) - HELD_OUT or seed < 0:
        raise InputError(
            f"digits: got n={n}, seed={seed}; expected n in 1..{len(pool) - HELD_OUT} for digits {a} and {b} "
            "and seed >= 0"
        )
    order = np.random.default_rng(seed).permutation(pool)
    return order[:n], order[-HELD_OUT:]


@cache
def _archive() -> tuple[Floats, Ints]:
    with (files("marginflow.problem") / "data" / "digits.npz").open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            return data["images"].astype(np.float64), data["labels"].astype(np.intp)

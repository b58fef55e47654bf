"""Positions as more coordinates of the tokens: what the model of theory 3.1 is then about (theory 10.5)."""

from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, as_floats
from marginflow.errors import InputError


def add_positions(X: Any, positions: Any) -> Floats:
    """(n, T, d) tokens plus the vector of their place: additive positions.

    Args:
        X: (n, T, d) tokens.
        positions: (T', d) one vector per place, T' >= T.

    Raises:
        InputError: shapes that do not fit.
    """
    X, P = as_floats("X", X, 3), as_floats("positions", positions, 2)
    if P.shape[1] != X.shape[2] or len(P) < X.shape[1]:
        raise InputError(f"positions: got shape {P.shape}; expected at least ({X.shape[1]}, {X.shape[2]})")
    return np.asarray(X + P[: X.shape[1]])


def rotary(X: Any, offsets: Any, frequencies: Any) -> Floats:
    """(n, T, 2 F d) tokens [cos(delta theta_f) x; sin(delta theta_f) x]_f: rotary positions with a free W each.

    A W (2 F d, d_z) of these tokens is one pair (A_f, B_f) per frequency, stacked, and its logits are
    sum_f x'(cos(delta theta_f) A_f + sin(delta theta_f) B_f) z.

    Args:
        X: (n, T, d) tokens.
        offsets: (n, T) or (T,) delta, the place of the query less that of the token.
        frequencies: (F,) theta_f, radians per place.

    Raises:
        InputError: shapes that do not fit.
    """
    X, theta = as_floats("X", X, 3), as_floats("frequencies", frequencies, 1)
    delta = as_floats("offsets", offsets)
    if delta.shape not in (X.shape[:2], X.shape[1:2]) or not len(theta):
        raise InputError(
            f"offsets, frequencies: got shapes {delta.shape} and {theta.shape}; expected {X.shape[:2]} and (F,), F >= 1"
        )
    angles = np.broadcast_to(delta, X.shape[:2])[:, :, None] * theta
    turns = np.stack([np.cos(angles), np.sin(angles)], axis=3)
    lifted = turns[:, :, :, :, None] * X[:, :, None, None, :]
    return np.asarray(lifted.reshape(*X.shape[:2], -1))


def relative_bias(X: Any, z: Any, offsets: Any) -> tuple[Floats, Floats]:
    """Tokens [x; e_delta] and queries [z; 1]: one more number per offset, added to the logits.

    Args:
        X: (n, T, d) tokens; z: (n, d_z) queries.
        offsets: (n, T) or (T,) whole numbers delta >= 0.

    Raises:
        InputError: shapes that do not fit, or offsets that are not whole numbers from 0 on, or so large that the tokens
            would take more than 10^8 numbers.
    """
    X, z = as_floats("X", X, 3), as_floats("z", z, 2)
    delta = np.asarray(offsets)
    if delta.shape not in (X.shape[:2], X.shape[1:2]) or delta.dtype.kind not in "iu" or delta.min(initial=0) < 0:
        raise InputError(
            f"offsets: got {delta.dtype} of shape {delta.shape}; expected whole numbers {X.shape[:2]}, >= 0"
        )
    if X.shape[0] * X.shape[1] * (int(delta.max(initial=0)) + 1) > _LARGEST:
        raise InputError(
            f"offsets: got {int(delta.max())}, for which each of {X.shape[0] * X.shape[1]} tokens would get as many "
            "more numbers; expected smaller ones: number the offsets, or the buckets of offsets, that are there"
        )
    units = (np.broadcast_to(delta, X.shape[:2])[:, :, None] == np.arange(int(delta.max(initial=0)) + 1)).astype(float)
    return np.concatenate([X, units], axis=2), np.concatenate([z, np.ones((len(z), 1))], axis=1)


_LARGEST: Final = 100_000_000
"""Numbers of lifted tokens: 800 MB."""

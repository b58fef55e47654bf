"""The logits that a head makes of its layer's inputs, with everything the model puts into them."""

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.heads.head import Head


def logits(head: Head, inputs: Floats) -> Floats:
    """(..., T, T) the logit of token t, last axis, for the query at s; `inputs` is (..., T, D), positions 0 to T - 1.

    Scale, biases, rotary positions, QK-norm, soft cap and ALiBi are in; the mask is not.
    """
    positions = np.arange(inputs.shape[-2], dtype=np.float64)
    keys, queries = head.keys(inputs, positions), head.queries(inputs, positions)
    out = head.scale * (queries @ np.swapaxes(keys, -1, -2))
    if head.cap is not None:
        out = head.cap * np.tanh(out / head.cap)
    return np.asarray(out - head.slope * (positions[:, None] - positions) if head.slope else out)


def visible(length: int, *, causal: bool, window: int | None = None) -> Bools:
    """(T, T) whether the query at s, first axis, sees token t.

    Args:
        length: T.
        causal: only tokens up to its own.
        window: only the last so many of these.
    """
    s, t = np.arange(length)[:, None], np.arange(length)
    seen = t <= s if causal else np.ones((length, length), dtype=bool)
    return seen & (t > s - window) if window is not None and causal else seen

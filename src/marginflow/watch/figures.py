"""The numbers kept of a head at each record: of its weights, and of its logits on the probe."""

from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats, as_array
from marginflow.errors import InputError
from marginflow.heads.figures import FIGURES, own_figures
from marginflow.heads.head import Head
from marginflow.heads.softmax import attention_rows
from marginflow.heads.triangles import Triangles


Grams = tuple[Floats, Floats]
"""(m, m) K K' and Q Q', the latter summed over the query heads that share the keys."""

ON_WEIGHTS: Final = (
    "nuclear",
    "frobenius",
    "operator",
    "effective_rank",
    "rank90",
    "alignment",
    "commutator",
    "balance",
    "drift",
    "keys",
    "queries",
)
"""Figures of W = scale K'Q as `audit` has them, but `balance` of what gradient flow conserves here; `drift`, how far
that went since the first record over its size then; `keys`, `queries`: Frobenius norms of K and Q."""

ON_PROBE: Final = ("max_logit", "entropy", "least_entropy", "entropy_share", "top1", "lead", "least_lead", "sink")
"""Largest logit; entropy in nats over all queries, mean; the rest over queries that see at least two tokens: least
entropy; mean of entropy over the log of how many tokens are seen; mean of the largest probability; median and least of
first minus second logit; share of queries whose largest logit is the first token's."""

WATCHED: Final = ON_WEIGHTS + ON_PROBE
"""The columns of a record's values, in this order."""

HIDDEN: Final = 5000.0
"""A token whose logit is lower than the largest of its row by more counts as masked: masks in use add -1e4, -1e9, the
least number of a type, or minus infinity, and a logit that far down has no weight in float64."""


def on_weights(head: Head, reduced: Triangles, first: Grams | None) -> tuple[Floats, Grams]:
    """(11,) ON_WEIGHTS, and the products that the next drift is measured from.

    Args:
        reduced: the head's triangles.
        first: the products of the first record; None when this is it.
    """
    queries = reduced.query_gram if head.shared is None else head.shared
    now = reduced.key_gram, queries
    law = head.law
    found = dict(zip(FIGURES, own_figures(reduced, head.shared, head.scale).tolist(), strict=True))
    found |= {
        "balance": law.balance(*now),
        "drift": law.drift(now if first is None else first, now),
        "keys": float(np.linalg.norm(reduced.keys)),
        "queries": float(np.linalg.norm(reduced.queries)),
    }
    return np.array([found[name] for name in ON_WEIGHTS]), now


def on_probe(name: str, logits: Any) -> Floats:
    """(8,) ON_PROBE of `logits` (..., S, T): S queries by T tokens, with anything that masks in masked places.

    Raises:
        InputError: fewer than two axes, or numbers that are neither finite nor minus infinity.
    """
    array = as_array(f"logits of {name}", logits)
    if array.ndim < 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"logits of {name}: got {array.dtype} {array.shape}; expected numbers (..., queries, tokens)")
    given = array.astype(np.float64).reshape(-1, *array.shape[-2:])
    if np.isnan(given).any() or (given == np.inf).any():
        raise InputError(
            f"logits of {name}: got {'NaN' if np.isnan(given).any() else 'infinity'}; has training failed?"
        )
    sees = seen(given)
    # A sample's first token is the first that any of its queries sees: padding may stand before it.
    first = np.repeat(sees.any(axis=1).argmax(axis=1), given.shape[1])
    rows = attention_rows(given.reshape(-1, given.shape[-1]), sees.reshape(-1, given.shape[-1]))
    many = rows.seen >= 2
    nan = float("nan")
    if not many.any():
        return np.array([_largest(rows.top), float(rows.entropy.mean()), *[nan] * 6])
    return np.array(
        [
            _largest(rows.top),
            rows.entropy.mean(),
            rows.entropy[many].min(),
            (rows.entropy[many] / np.log(rows.seen[many])).mean(),
            rows.top1[many].mean(),
            np.median(rows.lead[many]),
            rows.lead[many].min(),
            (rows.winner == first)[many].mean(),
        ]
    )


def seen(logits: Floats) -> Bools:
    """(..., S, T) which tokens a query sees, judged by its logits (..., S, T)."""
    top = logits.max(axis=-1, keepdims=True)
    return (logits > -np.inf) & (logits >= np.where(np.isfinite(top), top, 0.0) - HIDDEN)


def _largest(tops: Floats) -> float:
    found = tops[np.isfinite(tops)]
    return float(found.max()) if len(found) else float("nan")

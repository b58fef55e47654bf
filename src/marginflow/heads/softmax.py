"""What a softmax makes of logits, query by query: entropy, how sharp it is, and by how much the first token leads."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Rows:
    """Statistics of every query.

    Attributes:
        entropy: (q,) nats; 0 where one token or none is seen.
        top1: (q,) the largest probability.
        lead: (q,) the first logit minus the second; nan where fewer than two tokens are seen.
        top: (q,) the largest logit, -inf where no token is seen.
        winner: (q,) the place of the largest logit.
        seen: (q,) how many tokens the query sees.
    """

    entropy: Floats
    top1: Floats
    lead: Floats
    top: Floats
    winner: Ints
    seen: Ints


def attention_rows(logits: Floats, sees: Bools) -> Rows:
    """The rows of `logits` (q, T), of which a query sees `sees` (q, T)."""
    shown = np.where(sees, logits, -np.inf)
    seen = sees.sum(axis=-1)
    winner = shown.argmax(axis=-1)
    place = np.arange(len(shown))
    top = shown[place, winner]
    # A query that sees nothing has no logit to subtract.
    below = np.where(sees, shown - np.where(seen > 0, top, 0.0)[:, None], 0.0)
    weight = np.where(sees, np.exp(below), 0.0)
    total = np.where(seen > 0, weight.sum(axis=-1), 1.0)
    moment = (weight * below).sum(axis=-1)
    shown[place, winner] = -np.inf
    with np.errstate(invalid="ignore"):
        lead = np.where(seen >= 2, top - shown.max(axis=-1), np.nan)
    return Rows(
        entropy=np.where(seen >= 2, np.log(total) - moment / total, 0.0),
        top1=np.where(seen > 0, 1.0 / total, 0.0),
        lead=lead,
        top=top,
        winner=np.asarray(winner, dtype=np.intp),
        seen=np.asarray(seen, dtype=np.intp),
    )

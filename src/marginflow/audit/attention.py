"""Sums over samples from which every figure on data follows, so that samples can be drawn again for intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.heads.figures import rank90
from marginflow.heads.head import Head
from marginflow.heads.softmax import attention_rows


STATISTICS: Final = ("entropy", "entropy_share", "top1", "lead", "max_logit", "sink")
"""Nats; over the log of how many tokens are seen; largest probability; median of the first logit minus the second;
largest logit; share of queries whose first token gets the most."""

_AT_ONCE: Final = 2_000_000
"""Logits held at a time."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What a block of samples contributes.

    Attributes:
        key_gram, query_gram: (m, m) of keys centred within their sample, and of queries.
        entropy, entropy_share, top1, sink: sums over queries that see at least two tokens.
        leads: every query's lead.
        max_logit: the largest.
        queries: how many.
    """

    key_gram: Floats
    query_gram: Floats
    entropy: float
    entropy_share: float
    top1: float
    sink: float
    leads: Floats
    max_logit: float
    queries: int


def attention_statistics(head: Head, keys: Floats, queries: Floats, sees: Bools, mask: Bools, asking: Bools) -> Sums:
    """The sums of a block.

    Args:
        keys, queries: (b, T, m) as handed to the dot product.
        sees: (b, T, T) whether the query, first, sees the token.
        mask: (b, T) which tokens exist.
        asking: (b, T) which are queries for the rank on data.
    """
    mean = (keys * mask[..., None]).sum(axis=1) / mask.sum(axis=1)[:, None]
    flat, asked = (keys - mean[:, None])[mask], queries[asking]
    length = keys.shape[1]
    step = max(1, _AT_ONCE // length**2)
    parts = [
        _attention(head, keys[i : i + step], queries[i : i + step], sees[i : i + step], mask[i : i + step])
        for i in range(0, len(keys), step)
    ]
    entropy, entropy_share, top1, sink, count = np.array([p[0] for p in parts]).sum(axis=0).tolist()
    return Sums(
        key_gram=flat.T @ flat,
        query_gram=asked.T @ asked,
        entropy=entropy,
        entropy_share=entropy_share,
        top1=top1,
        sink=sink,
        leads=np.concatenate([p[1] for p in parts]),
        max_logit=max(p[2] for p in parts),
        queries=int(count),
    )


def joined(blocks: Sequence[Sums]) -> Floats:
    """(7,) rank90 on data, then STATISTICS, of the blocks together."""
    count = max(sum(b.queries for b in blocks), 1)
    singular = _product_spectrum(
        np.sum([b.key_gram for b in blocks], axis=0), np.sum([b.query_gram for b in blocks], axis=0)
    )
    leads = np.concatenate([b.leads for b in blocks])
    return np.array(
        [
            float(rank90(singular)),
            sum(b.entropy for b in blocks) / count,
            sum(b.entropy_share for b in blocks) / count,
            sum(b.top1 for b in blocks) / count,
            float(np.median(leads)) if len(leads) else 0.0,
            max(b.max_logit for b in blocks),
            sum(b.sink for b in blocks) / count,
        ]
    )


def _product_spectrum(keys: Floats, queries: Floats) -> Floats:
    """Singular values of keys^(1/2) queries^(1/2): of the logits as an operator from queries to tokens."""
    roots = []
    for gram in (keys, queries):
        values, vectors = np.linalg.eigh(gram)
        roots.append(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)
    return np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False)


def _attention(
    head: Head, keys: Floats, queries: Floats, sees: Bools, mask: Bools
) -> tuple[list[float], Floats, float]:
    logits = head.scale * (queries @ np.swapaxes(keys, -1, -2))
    if head.cap is not None:
        logits = head.cap * np.tanh(logits / head.cap)
    if head.slope:
        place = np.arange(keys.shape[1])
        logits = logits - head.slope * (place[:, None] - place)
    first = mask.argmax(axis=1)
    sample, query = np.nonzero(sees.sum(axis=-1) >= 2)
    if not len(sample):
        return [0.0] * 5, np.zeros(0), -np.inf
    rows = attention_rows(logits[sample, query], sees[sample, query])
    sink = rows.winner == first[sample]
    share = rows.entropy / np.log(rows.seen)
    sums = [rows.entropy.sum(), share.sum(), rows.top1.sum(), sink.sum(), len(sample)]
    return [float(x) for x in sums], rows.lead, float(rows.top.max())

"""One head on real inputs: how much of W the data use, and how sharply it attends, beside the controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats
from marginflow.audit.attention import STATISTICS, attention_statistics, joined
from marginflow.audit.controls import SENTENCES, rotations
from marginflow.audit.inputs import LayerInputs
from marginflow.audit.least import Thrift, thrift
from marginflow.audit.summary import bootstrap, comparison
from marginflow.heads.head import Head
from marginflow.heads.logits import visible


DATA_FIGURES: Final = ("rank90_on_data", *STATISTICS)
"""The columns of every array about data."""

DRAWS: Final = 4
"""Draws of each control on data; they cost a pass over the inputs each."""

_BLOCKS: Final = 32
_RESAMPLES: Final = 200


@dataclass(frozen=True, eq=False)
class HeadOnData:
    """One head on the inputs given.

    Attributes:
        layer, head: where.
        values: (7,) DATA_FIGURES of the head.
        low, high: (7,) 95 % intervals over samples (bootstrap of up to 32 blocks of samples).
        rotation, iid: (k, 7) the same of draws of the controls, on the same inputs.
        thrift: how its norms stand to the least that make its own margins, and those of one rotation draw; None
            where logits are not bilinear in one W, or when not asked for.
    """

    layer: int
    head: int
    values: Floats
    low: Floats
    high: Floats
    rotation: Floats
    iid: Floats
    thrift: Thrift | None = None
    thrift_rotation: Thrift | None = None

    def row(self) -> dict[str, float]:
        """A flat row: figures, and the means of the controls."""
        found = dict(zip(DATA_FIGURES, self.values.tolist(), strict=True))
        for control in ("rotation", "iid"):
            means = getattr(self, control).mean(axis=0).tolist()
            found |= {f"{name}_{control}": value for name, value in zip(DATA_FIGURES, means, strict=True)}
        for suffix, own in (("", self.thrift), ("_rotation", self.thrift_rotation)):
            if own is not None:
                found |= {f"nuclear_over_least{suffix}": own.nuclear, f"frobenius_over_least{suffix}": own.frobenius}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        spans = zip(DATA_FIGURES, self.low.tolist(), self.high.tolist(), strict=True)
        return self.row() | {"interval": {name: [low, high] for name, low, high in spans}}


def measure_on_data(
    head: Head, data: LayerInputs, *, causal: bool, window: int | None, seed: int, queries: int
) -> HeadOnData:
    """Figures of `head` on the inputs of its layer.

    Rank on data: the components that hold 90 % of the squared logits between all tokens and all queries of all
    samples (or `positions` queries a sample), keys centred within their sample: the softmax does not see the rest.

    Args:
        causal, window: which tokens a query sees.
        seed: of the controls' draws and of the queries for the SVM.
        queries: how many make the SVM; 0 for none.
    """
    X = data.layers[head.layer]
    sees = visible(X.shape[1], causal=causal, window=window) & data.mask[:, None, :] & data.mask[:, :, None]
    random = np.random.default_rng([seed, head.layer, head.head, 1])
    keys, rows = head.rows(0, X), head.rows(1, X)
    blocks = _measured(head, keys, rows, sees, data)
    values = joined(blocks)
    resampled = np.array(
        [joined([blocks[i] for i in random.integers(0, len(blocks), len(blocks))]) for _ in range(_RESAMPLES)]
    )
    turns = rotations(len(head.K), DRAWS, random)
    rotation = [joined(_measured(head, keys, rows @ turn.T, sees, data)) for turn in turns]
    iid = []
    for _ in range(DRAWS):
        drawn = _independent(head, random)
        iid.append(joined(_measured(drawn, drawn.rows(0, X), drawn.rows(1, X), sees, data)))
    found = HeadOnData(
        layer=head.layer,
        head=head.head,
        values=values,
        low=np.quantile(resampled, 0.025, axis=0),
        high=np.quantile(resampled, 0.975, axis=0),
        rotation=np.array(rotation),
        iid=np.array(iid),
    )
    if queries and head.rotary is None and head.gains is None and not head.slope:
        where = np.random.default_rng([seed, head.layer])
        own = thrift(head, X, sees, queries, where)
        where = np.random.default_rng([seed, head.layer])
        other = thrift(replace(head, Q=turns[0] @ head.Q), X, sees, queries, where)
        found = replace(found, thrift=own, thrift_rotation=other)
    return found


def data_sentences(heads: Sequence[HeadOnData], seed: int) -> list[str]:
    """What the data add, only where the interval over heads excludes chance."""
    said = []
    for figure, text in (
        ("rank90_on_data", "On the inputs given, 90 % of the squared logits take {:.3g} components"),
        ("entropy", "Attention entropy on the inputs given averages {:.3g} nats"),
    ):
        column = DATA_FIGURES.index(figure)
        trained = np.array([h.values[column] for h in heads])
        parts = []
        for control in ("rotation", "iid"):
            found = comparison(
                figure, control, trained, np.array([getattr(h, control)[:, column] for h in heads]), seed
            )
            if found.off:
                parts.append(
                    f"{found.expected:.3g} with {SENTENCES[control]} (ratio {found.ratio:.3f} "
                    f"{rounding.interval(found.low, found.high, 3)}, {'below' if found.ratio < 1 else 'above'} in "
                    f"{found.share:.0%} of {found.heads} heads)"
                )
        if parts:
            said.append(f"{text.format(trained.mean())}, against {' and '.join(parts)}.")
    return said + _thrift_sentences(heads, seed)


def _thrift_sentences(heads: Sequence[HeadOnData], seed: int) -> list[str]:
    both = [(h.thrift, h.thrift_rotation) for h in heads if h.thrift is not None and h.thrift_rotation is not None]
    said = []
    for norm in ("nuclear", "frobenius"):
        own = np.array([getattr(a, norm) for a, _ in both])
        other = np.array([getattr(b, norm) for _, b in both])
        low, high = bootstrap(own / other, seed) if len(both) else (np.nan, np.nan)
        if low > 1.0 or high < 1.0:
            said.append(
                f"For the margins of its own top tokens a head spends {own.mean():.3g} times the certified least "
                f"{norm} norm on average, a rotated head {other.mean():.3g} times for those of its own "
                f"(ratio {(own / other).mean():.3f} {rounding.interval(low, high, 3)} over {len(both)} heads)."
            )
    return said


def _measured(head: Head, keys: Floats, rows: Floats, sees: Bools, data: LayerInputs) -> list[Any]:
    """Blocks of samples, each with the sums that every figure needs."""
    positions = np.arange(keys.shape[1], dtype=np.float64)
    count = min(_BLOCKS, len(keys))
    blocks = []
    for chosen in np.array_split(np.arange(len(keys)), count):
        k = head.placed(0, keys[chosen], positions)
        q = head.placed(1, rows[chosen], positions)
        blocks.append(attention_statistics(head, k, q, sees[chosen], data.mask[chosen], data.asking[chosen]))
    return blocks


def _independent(head: Head, random: np.random.Generator) -> Head:
    """Gaussian factors of the same Frobenius norms; biases are drawn with the rest."""
    drawn = []
    for factor in (head.K, head.Q):
        entries = random.standard_normal(factor.shape)
        size = float(np.linalg.norm(entries))
        drawn.append(entries * (float(np.linalg.norm(factor)) / size))
    return replace(head, K=drawn[0], Q=drawn[1])

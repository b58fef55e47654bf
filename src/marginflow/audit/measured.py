"""One head measured: its figures beside those of the controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.audit.controls import independent, interval, rotated
from marginflow.heads.figures import FIGURES, norms_and_ranks, own_figures
from marginflow.heads.head import Head
from marginflow.heads.rotary import Rotary
from marginflow.heads.triangles import Triangles, triangles


@dataclass(frozen=True, eq=False)
class MeasuredHead:
    """The figures of one head.

    Attributes:
        layer, head: where, from 0.
        values: (8,) FIGURES of W = scale K'Q.
        rotation, iid: (k, 8) the same of k draws of each control.
        singular: (r,) singular values of W, descending.
        balance_by_law: |a - b| / (|a| + |b|) of the two sides of what gradient flow conserves here.
        pairs: (p, 2) per rotated pair: the Frobenius norm of its phase-averaged form, scale |K_j||Q_j|/sqrt 2, and
            (|K_j|^2 - |Q_j|^2) / (|K_j|^2 + |Q_j|^2); p = 0 without rotary positions.
        offsets: (o, 5) nuclear, Frobenius, operator, effective rank and rank90 of W at each offset asked for.
        bound: under QK-norm the largest logit that any two inputs can make; nan otherwise.
    """

    layer: int
    head: int
    values: Floats
    rotation: Floats
    iid: Floats
    singular: Floats
    balance_by_law: float
    pairs: Floats
    offsets: Floats
    bound: float

    @property
    def name(self) -> str:
        """layer.head, both from 0."""
        return f"{self.layer}.{self.head}"

    def __getitem__(self, figure: str) -> float:
        return float(self.values[FIGURES.index(figure)])

    def draws(self, control: str) -> Floats:
        """(k, 8) the draws of "rotation" or "iid"."""
        return self.rotation if control == "rotation" else self.iid

    def to_dict(self, offsets: Sequence[float] = ()) -> dict[str, Any]:
        """Plain values for JSON, by the names of the figures."""
        found: dict[str, Any] = {"layer": self.layer, "head": self.head}
        found |= dict(zip(FIGURES, self.values.tolist(), strict=True))
        found["balance_by_law"] = self.balance_by_law
        found["controls"] = {
            control: {name: list(interval(self.draws(control)[:, i])) for i, name in enumerate(FIGURES)}
            for control in ("rotation", "iid")
            if len(self.draws(control))
        }
        if len(self.pairs):
            found["pairs"] = [{"norm": norm, "balance": balance} for norm, balance in self.pairs.tolist()]
            found["offsets"] = {
                f"{offset:g}": dict(zip(FIGURES[:5], row, strict=True))
                for offset, row in zip(offsets, self.offsets.tolist(), strict=True)
            }
        if np.isfinite(self.bound):
            found["largest_logit"] = self.bound
        return found


def measure(head: Head, *, controls: int, seed: int, offsets: Sequence[float] = ()) -> MeasuredHead:
    """Every figure of `head` from its two triangles.

    Args:
        controls: draws of each control.
        seed: of the draws; a head's draws depend on it, the layer and the head, not on which others are measured.
        offsets: distances from token to query at which W of a rotary head is measured.
    """
    reduced = triangles(head)
    law = head.law
    queries = reduced.query_gram if head.shared is None else head.shared
    random = np.random.default_rng([seed, head.layer, head.head])
    rotation = head.rotation
    turned = [] if rotation is None else [reduced.at_offset(rotation, offset) for offset in offsets]
    at = (
        norms_and_ranks(np.array([t.singular for t in turned]).reshape(len(turned), -1)) if turned else np.zeros((0, 5))
    )
    at[:, :3] *= head.scale
    return MeasuredHead(
        layer=head.layer,
        head=head.head,
        values=own_figures(reduced, head.shared, head.scale),
        rotation=rotated(head, reduced, controls, random),
        iid=independent(head, reduced, controls, random),
        singular=head.scale * reduced.singular,
        balance_by_law=law.balance(reduced.key_gram, queries),
        pairs=np.zeros((0, 2)) if rotation is None else pair_table(reduced, rotation, queries, head.scale),
        offsets=np.zeros((0, 5)) if rotation is None else _at_offsets(reduced, rotation, offsets, head.scale),
        bound=largest_logit(head),
    )


def _at_offsets(reduced: Triangles, rotation: Rotary, offsets: Sequence[float], scale: float) -> Floats:
    if not len(offsets):
        return np.zeros((0, 5))
    found = norms_and_ranks(np.array([reduced.at_offset(rotation, offset).singular for offset in offsets]))
    found[:, :3] *= scale
    return found


def pair_table(reduced: Triangles, rotation: Rotary, queries: Floats, scale: float) -> Floats:
    """(p, 2) see `MeasuredHead.pairs`; `queries` is Q Q' summed over the group, for the balance."""
    first, second = rotation.rows
    key, query, group = (g.diagonal() for g in (reduced.key_gram, reduced.query_gram, queries))
    k, q, total = (g[first] + g[second] for g in (key, query, group))
    norm = scale * np.sqrt(k * q / 2.0)
    return np.column_stack([norm, (k - total) / np.where(k + total > 0.0, k + total, 1.0)])


def largest_logit(head: Head) -> float:
    """Under QK-norm |k| and |q| are at most sqrt m before the gains: scale m max_j |g_k g_q|, pairs sharing a bound."""
    if head.gains is None:
        return float("nan")
    key, query = (np.abs(g) for g in head.gains)
    rotation = head.rotation
    if rotation is not None:
        # A rotation mixes the two rows of a pair: the larger gain of each side bounds both.
        first, second = rotation.rows
        for gain in (key, query):
            gain[first] = gain[second] = np.maximum(gain[first], gain[second])
    return float(head.scale * len(key) * (key * query).max())

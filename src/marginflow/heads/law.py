"""What gradient flow conserves of a head's factors, by the architecture that stands between them (theory 3.10)."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.heads.rotary import Rotary


@dataclass(frozen=True, eq=False)
class Law:
    """The conserved quantity of one key head and the queries that share it.

    It belongs to K -> A K, Q -> A^-T Q for the A that commute with what stands between: every A without positions,
    one number per pair under rotary positions, nothing but the two lengths under QK-norm. Keys that serve a group
    of query heads stand against the sum over the group. For rotary positions it is known: "Conservation Laws for
    Modern Neural Architectures", arXiv 2606.17816.

    Attributes:
        rotation: the rotary positions, None without.
        grouped: several query heads share the keys.
        normed: keys and queries are normalised each (QK-norm).
    """

    rotation: Rotary | None
    grouped: bool
    normed: bool

    @property
    def word(self) -> str:
        """plain, gqa, rope, rope+gqa or qk-norm."""
        if self.normed:
            return "qk-norm"
        return "+".join(w for w, on in (("rope", self.rotation is not None), ("gqa", self.grouped)) if on) or "plain"

    @property
    def formula(self) -> str:
        """The conserved quantity, for people."""
        if self.normed:
            return "|K|^2 and |Q|^2, each"
        total = "sum_g " if self.grouped else ""
        if self.rotation is None:
            return f"K K' - {total}Q Q'"
        return f"per rotated pair j |K_j|^2 - {total}|Q_j|^2"

    def sides(self, keys: Floats, queries: Floats) -> tuple[Floats, Floats]:
        """The two vectors whose difference is conserved (under QK-norm: which are conserved each).

        Args:
            keys: (m, m) K K'.
            queries: (m, m) Q Q', summed over the group.
        """
        if self.normed:
            return np.array([np.trace(keys)]), np.array([np.trace(queries)])
        return self._kept(keys), self._kept(queries)

    def conserved(self, keys: Floats, queries: Floats) -> Floats:
        """The conserved numbers."""
        a, b = self.sides(keys, queries)
        return np.concatenate([a, b]) if self.normed else a - b

    def balance(self, keys: Floats, queries: Floats) -> float:
        """|a - b| / (|a| + |b|) of the two sides: 0 when the conserved quantity vanishes, at most 1."""
        a, b = self.sides(keys, queries)
        total = float(np.linalg.norm(a) + np.linalg.norm(b))
        return float(np.linalg.norm(a - b)) / total if total > 0 else 0.0

    def drift(self, first: tuple[Floats, Floats], now: tuple[Floats, Floats]) -> float:
        """How far the conserved numbers went from (K K', Q Q') `first` to `now`, over the sides' size at first."""
        a, b = self.sides(*first)
        total = float(np.linalg.norm(a) + np.linalg.norm(b))
        moved = float(np.linalg.norm(self.conserved(*now) - self.conserved(*first)))
        return moved / total if total > 0 else moved

    def _kept(self, gram: Floats) -> Floats:
        if self.rotation is None:
            return gram.ravel()
        squares = gram.diagonal()
        first, second = self.rotation.rows
        turned = self.rotation.turned
        return np.concatenate([squares[first] + squares[second], gram[turned:, turned:].ravel()])

"""One attention head: the two factors whose product makes its logits, and what stands between them."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, as_floats, frozen
from marginflow.errors import InputError
from marginflow.heads.law import Law
from marginflow.heads.rotary import Pairing, Rotary


Gains = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Head:
    """A head's logit of token x for query z is `scale * (K x) . (Q z)`; W = scale K'Q is never formed.

    Attributes:
        K: (m, D) float64, key rows; with biases a last column, and x ends with a 1.
        Q: (m, D_z) float64, query rows, likewise.
        scale: what the model multiplies the product by, 1/sqrt(m) as a rule.
        rotary: (p,) radians per position and pair, or None: K x and Q z turn with their positions.
        pairing: which rows make a pair, see `Rotary`.
        gains: (key (m,), query (m,)) when keys and queries are divided by their root mean square over the m rows
            and multiplied by these before the rotation (QK-norm); else None.
        eps: what that norm adds to the mean square.
        cap: logits become `cap * tanh(logit / cap)`; None without.
        slope: ALiBi: the logit falls by `slope` per position between token and query; 0 without.
        shared: (m, m) the sum of Q_g Q_g' over all query heads that use these keys, this one included; None when
            it is the only one.
        group: how many query heads use these keys.
        layer, head: where it is, from 0; `head` counts query heads.
    """

    K: Floats
    Q: Floats
    scale: float
    rotary: Floats | None = None
    pairing: Pairing = "halves"
    gains: Gains | None = None
    eps: float = 0.0
    cap: float | None = None
    slope: float = 0.0
    shared: Floats | None = None
    group: int = 1
    layer: int = 0
    head: int = 0

    def __post_init__(self) -> None:
        """Check what was given and keep read-only float64 copies.

        Raises:
            InputError: shapes that do not fit, numbers that are not finite, a scale that is not positive.
        """
        K, Q = as_floats("K", self.K, 2), as_floats("Q", self.Q, 2)
        m = len(K)
        if len(Q) != m or m == 0 or K.shape[1] == 0 or Q.shape[1] == 0:
            raise InputError(f"head: got K {K.shape} and Q {Q.shape}; expected as many rows, one per component")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"scale: got {self.scale!r}; expected a positive number such as {m**-0.5:g}")
        object.__setattr__(self, "K", frozen(K))
        object.__setattr__(self, "Q", frozen(Q))
        if self.rotary is not None:
            rotation = Rotary(self.rotary, self.pairing)
            if not 0 < rotation.turned <= m:
                raise InputError(f"rotary: got {len(rotation.angles)} pairs; expected 1 to {m // 2} for {m} rows")
            object.__setattr__(self, "rotary", rotation.angles)
        if self.gains is not None:
            gains = tuple(frozen(as_floats("gains", g, 1)) for g in self.gains)
            if [g.shape for g in gains] != [(m,), (m,)]:
                raise InputError(f"gains: got {[g.shape for g in gains]}; expected two of ({m},)")
            object.__setattr__(self, "gains", gains)
        if self.shared is not None:
            shared = as_floats("shared", self.shared, 2)
            if shared.shape != (m, m) or self.group < 2:
                raise InputError(f"shared: got {shared.shape} of {self.group} heads; expected ({m}, {m}) of 2 or more")
            object.__setattr__(self, "shared", frozen(shared))

    def __repr__(self) -> str:
        (m, D), D_z = self.K.shape, self.Q.shape[1]
        return (
            f"Head(layer {self.layer}, head {self.head}: K {m} x {D}, Q {m} x {D_z}, scale {self.scale:.6g}, "
            f"law {self.law.word})"
        )

    @property
    def rotation(self) -> Rotary | None:
        """The rotary positions as an operator, None without."""
        return None if self.rotary is None else Rotary(self.rotary, self.pairing)

    @property
    def law(self) -> Law:
        """What gradient flow conserves of this head's factors (theory 3.10)."""
        return Law(self.rotation, grouped=self.shared is not None, normed=self.gains is not None)

    def keys(self, x: Floats, positions: Floats | None = None) -> Floats:
        """(..., m) what the head hands to the dot product as keys of `x` (..., D), without the bias's 1."""
        return self.placed(0, self.rows(0, x), positions)

    def queries(self, z: Floats, positions: Floats | None = None) -> Floats:
        """(..., m) what the head hands to the dot product as queries of `z` (..., D_z), without the bias's 1."""
        return self.placed(1, self.rows(1, z), positions)

    def rows(self, side: int, inputs: Floats) -> Floats:
        """(..., m) K x (side 0) or Q z (side 1) with the bias, before norm and rotation.

        Raises:
            InputError: inputs of another width.
        """
        factor = (self.K, self.Q)[side]
        width = inputs.shape[-1]
        if factor.shape[1] == width + 1:
            return np.asarray(inputs @ factor[:, :-1].T + factor[:, -1])
        if factor.shape[1] == width:
            return np.asarray(inputs @ factor.T)
        raise InputError(
            f"layer {self.layer}: got inputs of width {width}; expected {factor.shape[1]}, or one less where the "
            "last column is the bias"
        )

    def placed(self, side: int, rows: Floats, positions: Floats | None) -> Floats:
        """`rows` (..., m) normalised where the model does, and turned to their positions (...)."""
        if self.gains is not None:
            rows = self.gains[side] * rows / np.sqrt(np.mean(rows * rows, axis=-1, keepdims=True) + self.eps)
        rotation = self.rotation
        return rows if rotation is None or positions is None else rotation.apply(rows, positions)

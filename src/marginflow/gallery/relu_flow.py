"""The gradient flow of W before a ReLU head, all problems at once, by implicit steps that grow with time.

The kinks of the ReLU are rounded over a width w that shrinks, relu(u) = (u + w/2)^2 / 2w about a kink: the force of a
sample on a kink is then what keeps it there (the paper's rule jumps across with every step). No error is estimated:
what a run is asked is where it ends.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import softmax

from marginflow.arrays import Floats
from marginflow.gallery.relu_head import SAMPLES, TOKENS, ReluHeads


LATE: Final = 1e9
"""Time at which runs end: margins are about its logarithm."""

STEPS: Final = 400
GROWTH: Final = 0.15
"""Of time, in one step."""

LARGEST: Final = 1.0
"""Change of a logit in one step."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Where the flow came to.

    Attributes:
        W: (B, d, d).
        shares: (B, n, T) of the tokens.
        time: (B,).
    """

    W: Floats
    shares: Floats
    time: Floats


@dataclass(frozen=True, eq=False)
class _Pull:
    """At logits (B, n, T): what the loss asks of them.

    Attributes:
        shares: (B, n, T).
        gradient: (B, n T) of the loss in the logits.
        curvature: (B, n T, n T) its second derivative without what is negative.
        before: (B, n, d) u, what the ReLU is applied to.
        turn: (B, n, T, d) the derivative of u in the logits.
    """

    shares: Floats
    gradient: Floats
    curvature: Floats
    before: Floats
    turn: Floats

    @classmethod
    def at(cls, heads: ReluHeads, logits: Floats, width: Floats) -> "_Pull":
        """Logistic loss, mean over samples; `width` (B,) of the kinks."""
        p = softmax(logits, axis=-1)
        u = (p[..., None, :] @ heads.values)[..., 0, :]
        w = width[:, None, None]
        slope = np.clip(u / w + 0.5, 0.0, 1.0)
        round_ = (slope > 0.0) & (slope < 1.0)
        output = np.where(round_, 0.5 * w * slope**2, np.maximum(u, 0.0)).sum(axis=2)
        pull = 1.0 / (1.0 + np.exp(heads.labels * output))
        first, second = -heads.labels * pull / SAMPLES, pull * (1.0 - pull) / SAMPLES
        turn = p[..., None] * (heads.values - u[..., None, :])
        rise = (turn @ slope[..., None])[..., 0]
        bent = (turn * (round_ / w)[..., None, :]) @ turn.swapaxes(2, 3)
        blocks = np.maximum(first, 0.0)[..., None, None] * bent
        blocks += second[..., None, None] * rise[..., :, None] * rise[..., None, :]
        return cls(p, (first[..., None] * rise).reshape(len(p), -1), _diagonal(blocks), u, turn)

    def fraction(self, moved: Floats, width: Floats) -> Floats:
        """(B,) the part of the step `moved` (B, n T) that may be made: logits by LARGEST, no u from one side of a
        kink to beyond it."""
        straight = LARGEST / np.maximum(np.abs(moved).max(axis=1), LARGEST)
        du = (moved.reshape(len(moved), SAMPLES, 1, TOKENS) @ self.turn)[..., 0, :]
        half = 0.5 * width[:, None, None]
        across = (self.before * (self.before + du) < 0.0) & (np.abs(du) > half)
        allowed = np.maximum(np.abs(self.before), half) / np.maximum(np.abs(du), half)
        return np.minimum(straight, np.where(across, allowed, 1.0).min(axis=(1, 2)))


def _diagonal(blocks: Floats) -> Floats:
    """(B, n T, n T) with the blocks (B, n, T, T) on the diagonal."""
    out = np.zeros((len(blocks), SAMPLES, TOKENS, SAMPLES, TOKENS))
    rows = np.arange(SAMPLES)
    out[:, rows, :, rows] = blocks.swapaxes(0, 1)
    return out.reshape(len(blocks), SAMPLES * TOKENS, SAMPLES * TOKENS)


def flow(heads: ReluHeads, W: Floats) -> Runs:
    """From W (B, d, d) to the time LATE.

    W changes along the x z' of the tokens only, W + sum_c alpha_c x_c z_c', so the logits move by G alpha, G the inner
    products of the x z', and a step is alpha' = -gradient with the curvature at its end.
    """
    B, d = len(heads.X), heads.X.shape[3]
    x, z = heads.X.reshape(B, -1, d), np.repeat(heads.z, TOKENS, axis=1)
    G = (x @ x.swapaxes(1, 2)) * (z @ z.swapaxes(1, 2))
    logits = ((x @ W) * z).sum(axis=2)
    alpha, time = np.zeros_like(logits), np.full(B, 0.1)
    for _ in range(STEPS):
        width = np.clip(np.sqrt(1.0 / time), 1e-4, 0.02)
        pull = _Pull.at(heads, logits.reshape(B, SAMPLES, TOKENS), width)
        step = np.where(time < LATE, GROWTH * time, 0.0)[:, None]
        implicit = np.eye(SAMPLES * TOKENS) + step[..., None] * (pull.curvature @ G)
        change = np.linalg.solve(implicit, -(step * pull.gradient)[..., None])[..., 0]
        moved = (G @ change[..., None])[..., 0]
        part = pull.fraction(moved, width)[:, None]
        alpha, logits, time = alpha + part * change, logits + part * moved, time + (part * step)[:, 0]
    shares = softmax(logits.reshape(B, SAMPLES, TOKENS), axis=-1)
    return Runs(W + np.einsum("bc,bcd,bce->bde", alpha, x, z), shares, time)

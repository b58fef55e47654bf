"""What stands between a projection and the dot product, measured: nothing, rotary positions, or a norm.

Projections are replaced by random numbers and what the dot product receives is looked at, so that nothing depends on
names, on the weights at hand, or on where a library keeps its rotary positions.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.heads.rotary import PAIRINGS, Pairing, Rotary


TOLERANCE: Final = 1e-4
"""Relative; of float32 and float64 arithmetic. Rotations by pairs err by some 1e-6 there."""

LOW_TOLERANCE: Final = 0.05
"""Of bfloat16 and float16: some steps of 2^-8 each."""

ACROSS: Final = "its QK-norm spans all heads of a layer, so that heads depend on each other"


@dataclass(frozen=True, eq=False)
class Between:
    """What turns the rows y of a projection into what the dot product receives.

    Attributes:
        factor: it is `factor` times y, turned; 1 under a norm.
        rotation: the rotary positions, None without.
        gains: (m,) under a norm over the head's rows, else None.
        refused: why there is no law for it; "" where there is.
    """

    factor: float = 1.0
    rotation: Rotary | None = None
    gains: Floats | None = None
    refused: str = ""

    def alike(self, other: "Between") -> bool:
        """Whether the other side of the dot product is of the same kind."""
        if (self.gains is None) != (other.gains is None):
            return False
        if self.gains is not None:
            return True
        one, two = self.rotation, other.rotation
        if one is None or two is None:
            return one is two
        return (one.turned, one.pairing) == (two.turned, two.pairing)

    def fits(self, given: Floats, used: Floats, tolerance: float) -> bool:
        """Whether `used` (..., m) is what follows from `given` (..., m); norms are not tried again."""
        if self.gains is not None:
            return True
        y, u = self.factor * given.reshape(-1, given.shape[-1]), used.reshape(-1, used.shape[-1])
        size = _rms(u)
        if self.rotation is None:
            return bool(np.abs(u - y).max() <= tolerance * max(size, _rms(y)))
        return _turned(y, u, self.rotation, tolerance * max(size, _rms(y)))


def recognise(given: Floats, used: Floats, whole: Floats, tolerance: float = TOLERANCE) -> Between | None:
    """How `used` follows from `given`; None where it is neither the same, nor turned by pairs, nor normalised.

    Args:
        given: (n, T, m) a head's rows of the projection, random.
        used: (n, T, m) what the dot product receives.
        whole: (n, T, N) the projection's output, of all heads.
        tolerance: relative to the size of the entries.
    """
    y, u = given.reshape(-1, given.shape[-1]), used.reshape(-1, used.shape[-1])
    squares = float((y * y).sum())
    if squares == 0.0 or not np.isfinite(u).all():
        return None
    size = _rms(u)
    factor = float((y * u).sum()) / squares
    if size > 0.0 and np.abs(u - factor * y).max() <= tolerance * size:
        return Between(factor)
    turned = _rotary(y, u, float(np.sqrt((u * u).sum() / squares)), tolerance)
    if turned is not None:
        factor, pairs, pairing = turned
        return Between(factor, Rotary(_angles(given, used, pairs, pairing), pairing))
    gains = _gains(y, u, tolerance)
    if gains is not None:
        return Between(gains=gains)
    full = whole.reshape(-1, whole.shape[-1])
    across = y / np.sqrt((full * full).mean(axis=1, keepdims=True))
    if _normed(across, u, tolerance) is not None:
        return Between(refused=ACROSS)
    return None


def best_blocks(used: Floats, given: Floats, most: int = 3) -> Ints:
    """(H, most) for every head, blocks of a projection that its dot-product inputs resemble most, best first.

    Args:
        used: (H, P, m) of each head at P places.
        given: (N, P, m) of each block of m rows.

    Energies of pairs of rows, by both ways of pairing and over their sum, do not change under rotations and scales,
    and little under norms; blocks are independent random numbers, so that the right one stands out.
    """
    a, b = _energies(used), _energies(given)
    found = np.argsort(-(a @ b.T), axis=1, kind="stable")
    return np.asarray(found[:, :most], dtype=np.intp)


def _energies(vectors: Floats) -> Floats:
    m = vectors.shape[-1]
    squares = vectors * vectors
    squares = squares / np.maximum(squares.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    half = m // 2
    parts = [
        squares[..., :half] + squares[..., half : 2 * half],
        squares[..., 0 : 2 * half : 2] + squares[..., 1::2][..., :half],
    ]
    flat = np.concatenate([*parts, squares[..., 2 * half :]], axis=-1).reshape(len(vectors), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(float).tiny))


def _rotary(y: Floats, u: Floats, factor: float, tolerance: float) -> tuple[float, int, Pairing] | None:
    """The factor, how many pairs turn and how they pair: the fewest for which pairs keep their sizes."""
    m = y.shape[1]
    if factor == 0.0:
        return None
    y = factor * y
    limit = tolerance * _rms(u)
    moved = np.nonzero(np.abs(u - y).max(axis=0) > limit)[0]
    if not len(moved):
        return None
    fewest = (int(moved[-1]) + 2) // 2
    for pairs in range(fewest, m // 2 + 1):
        for pairing in PAIRINGS:
            if _turned(y, u, Rotary(np.zeros(pairs), pairing), limit):
                return factor, pairs, pairing
    return None


def _turned(y: Floats, u: Floats, rotation: Rotary, limit: float) -> bool:
    """Whether every pair keeps its size and the rows that do not turn are the same."""
    first, second = rotation.rows
    before, after = (np.hypot(x[:, first], x[:, second]) for x in (y, u))
    rest = slice(rotation.turned, None)
    return bool(
        np.abs(after - before).max(initial=0.0) <= limit and np.abs(u[:, rest] - y[:, rest]).max(initial=0.0) <= limit
    )


def _angles(given: Floats, used: Floats, pairs: int, pairing: Pairing) -> Floats:
    """(p,) by how much more each pair turns from one position to the next: the median over places."""
    first, second = Rotary(np.zeros(pairs), pairing).rows
    y, u = (x[..., first] + 1j * x[..., second] for x in (given, used))
    phase = u * y.conj()
    if phase.shape[1] < 2:
        return np.zeros(pairs)
    return np.asarray(np.median(np.angle(phase[:, 1:] * phase[:, :-1].conj()), axis=(0, 1)))


def _gains(y: Floats, u: Floats, tolerance: float) -> Floats | None:
    """(m,) the gains of a norm over the rows, with or without centring, shift, and a rotation after it."""
    spread = np.sqrt((y * y).mean(axis=1, keepdims=True))
    centred = y - y.mean(axis=1, keepdims=True)
    for unit in (y / spread, centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True))):
        found = _normed(unit, u, tolerance)
        if found is not None:
            return found
    return None


def _normed(unit: Floats, u: Floats, tolerance: float) -> Floats | None:
    """The gains if `u` is `unit` times gains plus a shift, turned or not."""
    found = _affine(unit, u, tolerance)
    for pairing in PAIRINGS:
        found = _turned_norm(unit, u, pairing, tolerance) if found is None else found
    return found


def _affine(x: Floats, u: Floats, tolerance: float) -> Floats | None:
    """The slopes if each column of `u` is an affine function of its column of `x`."""
    if len(x) < _FEWEST:
        return None
    mean_x, mean_u = x.mean(axis=0), u.mean(axis=0)
    dx, du = x - mean_x, u - mean_u
    slope = (dx * du).sum(axis=0) / np.maximum((dx * dx).sum(axis=0), np.finfo(float).tiny)
    if np.abs(du - slope * dx).max() > tolerance * max(_rms(u), np.finfo(float).tiny):
        return None
    return np.asarray(np.abs(slope))


def _turned_norm(x: Floats, u: Floats, pairing: Pairing, tolerance: float) -> Floats | None:
    """The gains if squared sizes of pairs of `u` are (g x + b)^2 summed over the pair."""
    m = x.shape[1]
    if m % 2 or len(x) < _FEWEST:
        return None
    first, second = Rotary(np.zeros(m // 2), pairing).rows
    gains = np.zeros(m)
    size = _rms(u) ** 2
    for j in range(m // 2):
        a, b = x[:, first][:, j], x[:, second][:, j]
        target = u[:, first][:, j] ** 2 + u[:, second][:, j] ** 2
        terms = np.column_stack([a * a, b * b, a, b, np.ones(len(a))])
        found = np.linalg.lstsq(terms, target, rcond=None)[0]
        # Squares err by twice as much, and the largest are some ten times their mean.
        if np.abs(terms @ found - target).max() > 20.0 * tolerance * size:
            return None
        gains[first][j], gains[second][j] = np.sqrt(np.maximum(found[:2], 0.0))
    return gains


_FEWEST: Final = 16
"""Places from which five numbers a pair are not fitted by chance."""


def _rms(x: Floats) -> float:
    return float(np.sqrt((x * x).mean()))

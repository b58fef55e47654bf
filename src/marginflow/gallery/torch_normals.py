"""The normal numbers that torch's generator draws on a CPU, without torch, up to the last bits of float32.

torch.Generator is the Mersenne twister that NumPy has too. `torch.randn` turns its words into normal numbers by Box and
Muller's formula: one after another in float64 where fewer than 16 are asked for (these come out bit for bit), else in
blocks of 16 in float32, whose logarithms, sines and cosines are torch's own: one number in six differs by up to 3 units
in the last place. (Read off ATen/native/cpu/DistributionTemplates.h of torch 2.13; written anew, BSD-3-Clause there.)
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats


Singles = npt.NDArray[np.float32]

BLOCK: Final = 16
"""Numbers of one block; fewer are drawn one by one."""

_F: Final = np.float32


class TorchNormals:
    """The stream of normal numbers of `torch.Generator().manual_seed(seed)`."""

    def __init__(self, seed: int) -> None:
        # The older of NumPy's ways to seed a twister is torch's.
        state: Any = np.random.RandomState(seed).get_state(legacy=False)
        self._source = np.random.MT19937()
        self._source.state = state
        self._second: float | None = None

    def __call__(self, *shape: int) -> Singles:
        """`torch.randn(shape)` in float32."""
        count = int(np.prod(shape))
        if count < BLOCK:
            return np.array([self._single() for _ in range(count)], dtype=_F).reshape(shape)
        out = self._uniform(count)
        for k in range(0, count - BLOCK + 1, BLOCK):
            out[k : k + BLOCK] = _block(out[k : k + BLOCK])
        if count % BLOCK:
            out[-BLOCK:] = _block(self._uniform(BLOCK))
        return out.reshape(shape)

    def _single(self) -> float:
        """One number; the formula gives two, of which the second waits for the next call."""
        if self._second is not None:
            kept, self._second = self._second, None
            return kept
        high_low = self._source.random_raw(4).astype(np.uint64).reshape(2, 2)
        words = (high_low[:, 0] << np.uint64(32) | high_low[:, 1]) & np.uint64(2**53 - 1)
        angle, size = words.astype(np.float64) * 2.0**-53
        radius = np.sqrt(-2.0 * np.log1p(-size))
        self._second = float(radius * np.sin(2.0 * np.pi * angle))
        return float(radius * np.cos(2.0 * np.pi * angle))

    def _uniform(self, count: int) -> Singles:
        words = self._source.random_raw(count).astype(np.uint64) & np.uint64(2**24 - 1)
        return words.astype(_F) * _F(2.0**-24)


def _block(uniform: Singles) -> Singles:
    """Sixteen normal numbers of sixteen uniform ones, rounded to float32 after each operation."""
    log = np.log((_F(1.0) - uniform[:8]).astype(np.float64)).astype(_F)
    radius = np.sqrt(_F(-2.0) * log)
    angle = (_F(2.0 * np.pi) * uniform[8:]).astype(np.float64)
    return np.concatenate([radius * np.cos(angle).astype(_F), radius * np.sin(angle).astype(_F)])


def unit(rows: Singles) -> Singles:
    """The rows over their lengths, in float32."""
    length: Floats = np.sqrt(np.square(rows.astype(np.float64)).sum(axis=-1, keepdims=True))
    return np.asarray(rows / length.astype(_F))

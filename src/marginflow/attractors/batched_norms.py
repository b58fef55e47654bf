"""Norms for thousands of weights at a time: proximal steps, and bounds of norm and dual norm."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Singles


class AbstractBall(ABC):
    """A norm N of weights (..., p) and its dual norm N_d."""

    @abstractmethod
    def prox(self, Y: Singles, tau: Singles) -> tuple[Singles, Singles]:
        """argmin N(W) + |W - Y|^2 / (2 tau) for Y (2, B, p), tau (2, B), and upper bounds (2, B) of its N."""

    @abstractmethod
    def upper(self, W: Singles) -> Floats:
        """(B,) numbers that N of W (B, p) does not exceed."""

    @abstractmethod
    def dual_upper(self, M: Singles) -> Floats:
        """(B,) numbers that N_d of M (B, p) does not exceed."""


@dataclass(frozen=True)
class L1Ball(AbstractBall):
    """The sum of absolute values; its dual is the largest."""

    def prox(self, Y: Singles, tau: Singles) -> tuple[Singles, Singles]:
        size = np.maximum(np.abs(Y) - tau[..., None], 0.0)
        return np.copysign(size, Y), size.sum(axis=-1) * _room(Y)

    def upper(self, W: Singles) -> Floats:
        return np.asarray(np.abs(W).sum(axis=-1, dtype=np.float64) * _room(W))

    def dual_upper(self, M: Singles) -> Floats:
        return np.abs(M).max(axis=-1).astype(np.float64)


@dataclass(frozen=True)
class NuclearBall(AbstractBall):
    """The sum of the singular values of the matrices of this shape; its dual is the largest.

    Eigenvectors V of W'W come from LAPACK; the bounds hold for any V near orthogonal: |W|_* is at most
    sum |W v_i| / s and |W|_op^2 the largest row sum of abs(V'W'WV) / s^2, s^2 = 1 - the largest row sum of
    abs(V'V - I) (Gershgorin).
    """

    shape: tuple[int, int]

    def prox(self, Y: Singles, tau: Singles) -> tuple[Singles, Singles]:
        room = _room(Y)
        Y = Y.reshape(*Y.shape[:-1], *self.shape)
        tall = self.shape[0] >= self.shape[1]
        if not tall:
            Y = np.swapaxes(Y, -1, -2)
        square, V = np.linalg.eigh(np.swapaxes(Y, -1, -2) @ Y)
        s = np.sqrt(np.maximum(square, np.finfo(Y.dtype).tiny))
        kept = np.maximum(1.0 - tau[..., None] / s, 0.0)
        YV = Y @ V
        # W = sum kept_i (Y v_i) v_i', so |W|_* <= sum kept_i |Y v_i| |v_i|.
        norm = (kept * np.sqrt(np.square(YV).sum(axis=-2) * np.square(V).sum(axis=-2))).sum(axis=-1)
        W = (YV * kept[..., None, :]) @ np.swapaxes(V, -1, -2)
        if not tall:
            W = np.swapaxes(W, -1, -2)
        return W.reshape(*W.shape[:-2], -1), norm * room

    def upper(self, W: Singles) -> Floats:
        turned, skew = self._turned(W)
        return np.sqrt(np.square(turned).sum(axis=1)).sum(axis=1) / np.sqrt(1.0 - skew) * _room(W)

    def dual_upper(self, M: Singles) -> Floats:
        turned, skew = self._turned(M)
        rows = np.abs(np.swapaxes(turned, 1, 2) @ turned).sum(axis=2).max(axis=1)
        return np.sqrt(rows / (1.0 - skew)) * _room(M)

    def _turned(self, M: Singles) -> tuple[Floats, Floats]:
        """M V in double precision, and the skewness of V."""
        M = M.reshape(-1, *self.shape)
        if self.shape[0] < self.shape[1]:
            M = np.swapaxes(M, 1, 2)
        V = np.linalg.eigh(np.swapaxes(M, 1, 2) @ M)[1].astype(np.float64)
        skew = np.abs(np.swapaxes(V, 1, 2) @ V - np.eye(V.shape[2])).sum(axis=2).max(axis=1)
        return M.astype(np.float64) @ V, skew


def _room(W: Singles) -> float:
    """Room for the rounding of sums and products over the last axes."""
    return 1.0 + 4.0 * (W.shape[-1] + 8) * float(np.finfo(W.dtype).eps)

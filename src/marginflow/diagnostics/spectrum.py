"""Singular values of the weights and of the dual matrix, and the attention they make (docs/theory.md 5.2)."""

import math
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class DualSpectrum:
    """The dual matrix B in its own singular bases, scaled to operator norm 1.

    Attributes:
        left: (d, k) left singular vectors, k = min(d, d_z).
        rho: (k,) singular values over the largest, descending: the predicted growth powers (theory 5.2).
        right: (d_z, k) right singular vectors.
        support: how many rho are 1 to `tolerance`; the singular spaces of every optimal W lie in these.
        tolerance: what "1 to tolerance" meant.
    """

    left: Floats
    rho: Floats
    right: Floats
    support: int
    tolerance: float

    def components(self, W: Floats) -> Floats:
        """(k,) u_j'W v_j: what W has in each singular direction of B; weighted by rho they sum to <B, W>."""
        return np.asarray(np.einsum("ij,ik,kj->j", self.left, W, self.right, optimize=True))

    @property
    def slowest(self) -> float:
        """The largest rho below the support, 0 when there is none: it sets the pace of the direction."""
        return float(self.rho[self.support]) if self.support < len(self.rho) else 0.0

    def powers(self) -> Floats:
        """(k - support,) predicted powers -(1 - rho_j) of each off-support share of W in the size of W."""
        return self.rho[self.support :] - 1.0


def dual_spectrum(B: Floats, tolerance: float = 1e-6) -> DualSpectrum:
    """The spectrum of a dual matrix (d, d_z); rho >= 1 - `tolerance` counts as support."""
    left, s, right = np.linalg.svd(B, full_matrices=False)
    rho = s / s[0] if s[0] > 0 else s
    return DualSpectrum(left, rho, right.T, int((rho >= 1.0 - tolerance).sum()), tolerance)


def singular_values(W: Floats) -> Floats:
    """(k,) those of W (d, d_z), or of all heads of W (H, d, d_z) together, descending."""
    s = np.linalg.svd(W, compute_uv=False)
    return np.asarray(s if W.ndim == 2 else -np.sort(-s.ravel()), dtype=np.float64)


def effective_rank(s: Floats) -> float:
    """exp of the entropy of s / sum(s) (Roy & Vetterli 2007): 1 for rank one, r for r equal values."""
    total = float(s.sum())
    if total == 0.0:
        return 0.0
    return math.exp(_entropy(s / total))


def stable_rank(s: Floats) -> float:
    """|W|_F^2 / |W|_op^2 from the singular values."""
    largest = float(s.max(initial=0.0))
    return float(((s / largest) ** 2).sum()) if largest else 0.0


def direction_errors(s: Floats, error: float, square: bool = True) -> Floats:
    """(k,) how far each singular direction can be from that of a matrix within `error` (operator norm).

    Wedin's bound: sin(angle) <= sqrt(2) error / (gap - error), gap to the nearest other singular value (and
    to 0 where the matrix is not square); 1, "not known at all", where the gap does not exceed the error.
    """
    others = np.append(s, 0.0) if not square else s
    distance = np.abs(s[:, None] - others[None, :])
    distance[np.arange(len(s)), np.arange(len(s))] = np.inf
    gap = distance.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = math.sqrt(2.0) * error / (gap - error)
    return np.where(gap > error, np.minimum(bound, 1.0), 1.0)


def attention(problem: Problem, W: Floats) -> Floats:
    """(n, T) softmax of x_il' W z_i over the tokens that exist, of several heads each row's own W; 0 on padding."""
    W = np.diag(W) if W.ndim == 1 else W
    seen = problem.z @ W.T if W.ndim == 2 else (W[problem.head] @ problem.z[:, :, None])[:, :, 0]
    logits = np.einsum("itd,id->it", problem.X, seen)
    logits = np.where(problem.mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def attention_entropy(problem: Problem, W: Floats) -> float:
    """Mean entropy of attention over samples, in nats: log T at W = 0, 0 when one token has all."""
    return float(np.mean([_entropy(row) for row in attention(problem, W)]))


def _entropy(p: Floats) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())

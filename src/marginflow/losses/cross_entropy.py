"""Cross-entropy over classes, with label smoothing."""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.losses.abstract import AbstractOutputLoss
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class CrossEntropy(AbstractOutputLoss):
    """l(u) = log sum_j e^{u_j} - sum_j q_j u_j with q = (1 - smoothing) e_label + smoothing/k, as torch smooths labels.

    Written in the distances u_j - u_label, so that a loss and a gradient of 1e-300 keep their digits.

    Args:
        smoothing: in [0, 1).
    """

    smoothing: float = 0.0
    convex: bool = field(default=True, init=False)
    # The eigenvalues of diag p - p p' are at most 1/2; its change along h is a third moment about the mean, at most
    # the range of h times the second, and the range is at most sqrt 2 |h|.
    smooth: float = field(default=0.5, init=False)
    bend: float = field(default=math.sqrt(2.0), init=False)

    def __post_init__(self) -> None:
        if isinstance(self.smoothing, bool) or not isinstance(self.smoothing, int | float):
            raise InputError(f"cross-entropy: got smoothing {self.smoothing!r}; expected a number in [0, 1)")
        if not 0.0 <= self.smoothing < 1.0:
            raise InputError(f"cross-entropy: got smoothing {self.smoothing!r}; expected a number in [0, 1)")

    @property
    def word(self) -> str:  # type: ignore[override]
        """cross-entropy, or cross-entropy:smoothing=0.1."""
        return "cross-entropy" + (f":smoothing={float(self.smoothing)!r}" if self.smoothing else "")

    def value(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        y = _column(labels, u)
        behind = u - np.take_along_axis(u, y, axis=-1)  # 0 at the label
        others = np.array(behind)
        np.put_along_axis(others, y, -np.inf, axis=-1)
        with np.errstate(divide="ignore"):
            top = np.maximum(others.max(axis=-1), 0.0)
            rest = np.exp(others - top[..., None]).sum(axis=-1)
        # log(1 + e^top rest), from the larger of the two.
        plain = np.where(top > 0.0, top + np.log(np.exp(-top) + rest), np.log1p(rest))
        return np.asarray(plain - self.smoothing / u.shape[-1] * behind.sum(axis=-1))

    def gradient(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        y = _column(labels, u)
        p = _softmax(u)
        out = p - self.smoothing / u.shape[-1]
        # p_y - 1 is minus the sum of the other shares, which does not round to 0.
        rest = np.array(p)
        np.put_along_axis(rest, y, 0.0, axis=-1)
        at_label = self.smoothing - self.smoothing / u.shape[-1] - rest.sum(axis=-1, keepdims=True)
        np.put_along_axis(out, y, at_label, axis=-1)
        if not self.smoothing and u.shape[-1] > 1 and (gone := ~out.any(axis=-1)).any():
            ahead = float(_lead(u, y)[gone].max())
            raise InputError(f"{self.word}: got an output that leads by {ahead:.6g} at its label; {_UNDERFLOWS}")
        return np.asarray(out)

    def hessian(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        p = _softmax(u)
        out = -p[..., :, None] * p[..., None, :]
        j = np.arange(u.shape[-1])
        # p_j (1 - p_j) from the other shares: 1 - p_j rounds to 0 for the largest.
        others = np.broadcast_to(p[..., None, :], out.shape) * (1.0 - np.eye(u.shape[-1]))
        out[..., j, j] = p * others.sum(axis=-1)
        return np.asarray(out)

    def gradient_terms(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        return np.asarray(np.abs(self.gradient(u, labels)) + 2.0 * self.smoothing)

    def check(self, problem: Problem) -> None:
        if problem.values is None or problem.labels is None:
            raise InputError(f"loss {self.word}: got scores; expected values (n, T, k) and labels, a class per output")
        if problem.labels.ndim != 1:
            raise InputError(
                f"loss {self.word}: got targets of shape {problem.labels.shape}; expected labels, {problem.counts[0]} "
                f"whole numbers in 0..{problem.k - 1}"
            )
        if not self.smoothing and problem.k > 1:
            ahead = _most_lead(problem)
            if ahead > LARGEST_LEAD:
                raise InputError(
                    f"loss {self.word}: got values with which an output can lead by {ahead:.6g} at its label; "
                    f"{_UNDERFLOWS}"
                )


LARGEST_LEAD: Final = 700.0
"""Of an output at its label over all other classes: e^-700 has all its digits, e^-745 is 0 in float64."""

_UNDERFLOWS: Final = (
    f"its gradient e^-lead is then no float64; expected leads up to {LARGEST_LEAD:g}: divide the values, or smooth the "
    "labels"
)


def _lead(u: Floats, y: Ints) -> Floats:
    """(..., outputs) the label's output less the largest other."""
    others = np.array(u)
    np.put_along_axis(others, y, -np.inf, axis=-1)
    return np.asarray(np.take_along_axis(u, y, axis=-1)[..., 0] - others.max(axis=-1))


def _most_lead(problem: Problem) -> float:
    """What no output's lead at its label exceeds: every row gives each class what its tokens allow at most."""
    assert problem.values is not None and problem.labels is not None
    label = problem.labels[problem.output].astype(np.intp)
    at = np.take_along_axis(problem.values, label[:, None, None], axis=2)
    ahead = np.where(problem.mask[..., None], at - problem.values, -np.inf).max(axis=1)
    ahead[np.arange(problem.n), label] = np.inf
    total = np.zeros((problem.counts[0], problem.k))
    np.add.at(total, problem.output, ahead)
    return float(total.min(axis=1).max())


def _column(labels: Ints | Floats | None, u: Floats) -> Ints:
    """The labels as (..., outputs, 1), to take from u (..., outputs, k)."""
    return np.broadcast_to(np.asarray(labels, dtype=np.intp)[:, None], (*u.shape[:-1], 1))


def _softmax(u: Floats) -> Floats:
    e = np.exp(u - u.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))

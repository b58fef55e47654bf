"""The pull of a loss of outputs in R^k on every logit (theory 10; docs/flow.md 14)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.losses import AbstractOutputLoss
from marginflow.model.force import Bend, Force
from marginflow.model.logits import Logits, flat_index
from marginflow.model.outputs import Outputs
from marginflow.problem.problem import Problem


VANISHED: Final = 1e-300
"""The smallest size of a force: where values are so far apart that the loss is flat in float64 nothing pulls."""


@dataclass(frozen=True, eq=False)
class Values:
    """What the tokens of one problem contribute to its outputs, and the loss of these.

    Attributes:
        values: (n, T, k) of every token; padding is zero.
        mask: (n, T) True where a token exists.
        labels: of the outputs, as in `Problem.labels`.
        loss: of an output.
        outputs: which rows add up to which.
    """

    values: Floats
    mask: Bools
    labels: Ints | Floats | None
    loss: AbstractOutputLoss
    outputs: Outputs

    @classmethod
    def of(cls, problem: Problem, loss: AbstractOutputLoss) -> "Values":
        """Those of `problem`, whose tokens have values."""
        assert problem.values is not None
        return cls(problem.values, problem.mask, problem.labels, loss, Outputs(problem.output))

    def force(self, s: Logits) -> Force:
        """The force at the logits `s` (B, n, T): F_il = (1/m) p_il <-grad l(u_o), v_il - mean v_i>.

        Values are counted from those of the top token of each row, so that what a token of small weight adds is one
        product. Exponents are not taken out: a force below e^-690 is 0.
        """
        shape = s.high.shape
        top = (s.high + s.low).argmax(axis=2)
        index = flat_index(top, shape)
        q = (s.high - s.high.take(index)[..., None]) + (s.low - s.low.take(index)[..., None])
        weight = np.exp(q)
        p = weight / weight.sum(axis=2, keepdims=True)
        best = self.values[np.arange(shape[1]), top]
        lead = self.values - best[:, :, None, :]
        shift = (p[..., None] * lead).sum(axis=2)
        u = self._summed(best + shift)
        slope = self._spread(-self.loss.gradient(u, self.labels))
        scores = (lead * slope[:, :, None, :]).sum(axis=3)
        F = p * (scores - (p * scores).sum(axis=2, keepdims=True))
        largest = np.maximum(np.abs(F).max(axis=(1, 2)), VANISHED)
        norm = largest * np.sqrt(((F / largest[:, None, None]) ** 2).sum(axis=(1, 2)))
        norm = np.maximum(norm, VANISHED)
        moved = p[..., None] * (lead - shift[:, :, None, :])
        curved = self.loss.hessian(u, self.labels)[:, self.outputs.of_row]
        back = np.einsum("bntk,bnkj->bntj", moved, curved) / norm[:, None, None, None]
        next_best = q.copy()
        next_best.reshape(-1)[index] = -np.inf
        bend = Bend(scores, moved, np.asarray(back))
        log_norm = np.log(norm) - np.log(self.outputs.m)
        gap = -next_best.max(axis=2)
        return Force(F / norm[:, None, None], log_norm, p, np.zeros(shape), top, gap, self.outputs, bend)

    def mean_loss(self, rough: Floats) -> Floats:
        """(B,) the mean loss over outputs at logits (B, n, T) as one float64 each."""
        s = np.where(self.mask, rough, -np.inf)
        weight = np.exp(s - s.max(axis=2, keepdims=True))
        p = weight / weight.sum(axis=2, keepdims=True)
        u = self._summed((p[..., None] * self.values).sum(axis=2))
        return np.asarray(self.loss.value(u, self.labels).mean(axis=-1))

    def _summed(self, each: Floats) -> Floats:
        """(B, m, k) the sums over the rows of every output of `each` (B, n, k)."""
        return np.moveaxis(self.outputs.sum(np.moveaxis(each, 2, 1)), 1, 2)

    def _spread(self, each: Floats) -> Floats:
        """(B, n, k) the value of its output for every row, of `each` (B, m, k)."""
        return each[:, self.outputs.of_row]

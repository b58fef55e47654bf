"""The force of logits held in one float64 each: that of model/force.py without what only an integrator asks for."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.force import SMALLEST_NORM
from marginflow.model.objective import Objective


@dataclass(frozen=True, eq=False)
class Pulled:
    """Minus the gradient in the logits.

    Attributes:
        f: (B, n, T) of unit length; 0 where nothing pulls.
        log_norm: (B,) the logarithm of its length; -inf where nothing pulls.
    """

    f: Floats
    log_norm: Floats


class PlainForce:
    """The formula of `model.force.force` with the tokens first, so that sums over tokens are sums of whole rows.

    Exponents are counted from the largest that pulls, where model/force.py counts from that of the sample that pulls
    hardest: the two differ by a few roundings of numbers of moderate size, not of the margin.
    """

    def __init__(self, objective: Objective) -> None:
        tokens = objective.tokens
        self._loss = objective.scalar_loss
        self._outputs = tokens.outputs
        self.outputs = tokens.shape[0] if tokens.outputs is None else tokens.outputs.m
        self._log_n = float(np.log(self.outputs))
        self._absent = None if tokens.mask.all() else ~tokens.mask.transpose(2, 1, 0)
        self.scores = np.ascontiguousarray(tokens.scores.transpose(2, 1, 0))

    def of(self, s: Floats, scores: Floats | None = None) -> Pulled:
        """At the logits `s` (B, n, T), for tokens of `scores` (T, n, P) where they are not those of the problem."""
        scores = self.scores if scores is None else scores
        q = np.array(s.transpose(2, 1, 0), order="C")
        q -= q.max(axis=0)
        top_score = np.where(q == 0.0, scores, -np.inf).max(axis=0)
        lead = scores - top_score
        p = np.exp(q)
        total = p.sum(axis=0)
        p /= total
        u = top_score + (p * lead).sum(axis=0)
        if self._outputs is not None:
            u = self._outputs.spread(self._outputs.sum(u.T)).T
        factor = self._loss.log_slope(u) - np.log(total)
        # A tie carries no force whatever its weight.
        still = lead == 0.0
        q[still if self._absent is None else still | self._absent] = -np.inf
        T, n, B = q.shape
        first = np.maximum(q.reshape(T * n, B).max(axis=0), -1e308)
        q -= first
        q += factor
        second = np.maximum(q.reshape(T * n, B).max(axis=0), -1e308)
        q -= second
        F = np.exp(q, out=q)
        F *= lead
        p *= F.sum(axis=0)
        F -= p
        flat = F.reshape(T * n, B)
        norm = np.sqrt((flat * flat).sum(axis=0))
        if norm.min() < SMALLEST_NORM:
            # Scores of 1e-170 apart: their squares underflow. Nothing pulls where all tokens drawn tie.
            largest = np.abs(flat).max(axis=0)
            flat /= np.where(largest > 0.0, largest, 1.0)
            inside = np.sqrt((flat * flat).sum(axis=0))
            flat /= np.where(largest > 0.0, inside, 1.0)
            with np.errstate(divide="ignore"):
                log_norm = first + (second + (np.log(largest) + np.log(inside) - self._log_n))
            return Pulled(np.ascontiguousarray(F.transpose(2, 1, 0)), log_norm)
        flat /= norm
        return Pulled(np.ascontiguousarray(F.transpose(2, 1, 0)), first + (second + (np.log(norm) - self._log_n)))

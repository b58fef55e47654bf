"""The excess below which a loss of outputs in R^k cannot but go to its least value (theorem in docs/flow.md 14)."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.losses.abstract import token_values
from marginflow.model.face_limit import FaceLimit
from marginflow.optimal_attention.distinct import Row, distinct_rows


IN_HAND: Final = 4.0
"""The barrier is divided by it, for the rounding of shares, costs and curvatures, which is not enclosed."""

SMALL: Final = 0.3
"""What the two parts of x = bend |u - u*| may be at most, so that x is below `TURN`."""

TURN: Final = 0.7


def log_face_barrier(limit: FaceLimit) -> float:
    """log of an excess under which what the theorem needs of attention holds for good; -inf where there is none.

    Every member then has at least half of its share in the optimum, and every token outside costs more than the mean of
    its row. (What the theorem needs of the data, `selection/face_theorem.py` looks at.)
    """
    loss, outputs = limit.loss, limit.problem.counts[0]
    if not (loss.convex and math.isfinite(loss.smooth) and math.isfinite(loss.bend)):
        return -math.inf
    rows = distinct_rows(limit.problem, limit.faces.members)
    least = min(_Output.of(limit, rows, o).barrier(loss.bend) for o in range(outputs))
    return math.log(least / (outputs * IN_HAND)) if least > 0.0 else -math.inf


@dataclass(frozen=True, eq=False)
class _Output:
    """One output at its optimum u*; |.|_H is the length in the Hessian of its loss.

    Attributes:
        share: the least share of a member.
        sigma: the least second derivative of the loss along changes of members' shares that keep the sums of rows; inf
            where rows have one member each.
        reach: the largest length of the change of u that a change of length 1 of these shares makes.
        cost: (c,) by how much the cost <grad l(u*), v> of each token outside exceeds that of members.
        away, away_H: (c,) the length of its value less the mean of the row, |.| and |.|_H.
        apart_H: (c,) the largest |.|_H of its value less that of a member.
    """

    share: float
    sigma: float
    reach: float
    cost: Floats
    away: Floats
    away_H: Floats
    apart_H: Floats

    @classmethod
    def of(cls, limit: FaceLimit, rows: list[Row], o: int) -> "_Output":
        """Output `o` of the problem of `limit`, whose members are `rows` without copies."""
        problem, faces = limit.problem, limit.faces
        label = None if problem.labels is None else problem.labels[o : o + 1]
        u = limit.outputs[o : o + 1]
        slope, H = limit.loss.gradient(u, label)[0], limit.loss.hessian(u, label)[0]
        shares, moves, off, pairs = [], [], [], []
        for i in np.flatnonzero(problem.output == o):
            values = token_values(problem)[i]
            inside, outside = rows[i].mean(values), values[problem.mask[i] & ~faces.members[i]]
            share = rows[i].copies * faces.shares[i][rows[i].tokens]
            shares.append(share)
            moves.append(_zero_sum(len(inside)) @ inside)
            off.append(outside - share @ inside)
            pairs.append(_length(outside[:, None, :] - inside, H).max(axis=1))
        D, away = np.concatenate(moves), np.concatenate(off)
        return cls(
            share=float(np.concatenate(shares).min()),
            sigma=float(np.linalg.eigvalsh(D @ H @ D.T)[0]) if len(D) else math.inf,
            reach=float(np.linalg.norm(D, 2)) if len(D) else 0.0,
            cost=away @ slope,
            away=_length(away, np.eye(len(H))),
            away_H=_length(away, H),
            apart_H=np.concatenate(pairs),
        )

    def barrier(self, bend: float) -> float:
        """An excess of this output below which the theorem's conditions hold; 0 where there is none."""
        if not (self.sigma > 0.0 and (self.cost > 0.0).all()):
            return 0.0
        root = math.sqrt(self.sigma)
        # Per unit of excess: what tokens outside can change of u, in either length.
        omega, omega_H = (float((v / self.cost).max(initial=0.0)) for v in (self.away, self.away_H))
        turned = 2.0 * math.exp(TURN) * np.maximum(self.apart_H, 1e-300) / self.cost
        bounds = [
            float(self.cost.min(initial=math.inf)) / 8.0,
            1.0 / (2.7 * float(turned.max(initial=0.0)) ** 2 + 1e-300),
        ]
        if bend > 0.0:
            bounds.append(SMALL / (bend * (self.reach * omega_H / root + omega) + 1e-300))
            bounds.append((SMALL * root / (bend * self.reach)) ** 2 / 2.0 if self.reach > 0.0 else math.inf)
        if math.isfinite(root):
            most = root * self.share / 4.0
            bounds.append((2.0 * most / (math.sqrt(2.7) + math.sqrt(2.7 + 4.0 * omega_H * most))) ** 2)
        return min(bounds)


def _zero_sum(count: int) -> Floats:
    """(count - 1, count) orthonormal directions of sum 0."""
    return np.asarray(np.linalg.svd(np.ones((1, count)))[2][1:])


def _length(v: Floats, H: Floats) -> Floats:
    """(...) the length of vectors (..., k) in the form H (k, k)."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", v, H, v), 0.0)))

"""What is left of a loss near faces of several tokens: pulls from outside, levels inside (docs/flow.md 12)."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from scipy.linalg import qr

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, AbstractOutputLoss, Log
from marginflow.losses.exponential import Exponential
from marginflow.model.held import Held
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import ABSENT, Logits
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization
from marginflow.optimal_attention.find import faces
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Problem


INDEPENDENT: Final = 1e-10
"""An equality whose part off those before is below this, relative, follows from them."""

ATTAINED: Final = 1e-8
"""A logit inside a face nearer to the balance than this is there: the shares themselves are known to about as much."""

CLOSE: Final = 15.0
"""Lead out of the face from which the excess is that of the pulls from outside, to e^-15 of itself."""


def face_limit(problem: Problem, loss: AbstractOutputLoss) -> "FaceLimit | None":
    """The limit of a loss that keeps several tokens of some row; None where each row ends on one, or keeps all.

    Only the log loss does that among losses of scores (theory 10.3).

    Raises:
        InputError: several heads.
    """
    return _limit(problem, loss) if isinstance(loss, Log) and problem.values is None else None


@lru_cache(maxsize=64)
def _limit(problem: Problem, loss: Log) -> "FaceLimit | None":
    found = faces(problem, loss)
    if not found.unique.all():
        return None
    rows = problem.constraints(found)
    if not rows.equal.any() or rows.equal.all():
        return None
    if problem.counts[1] > 1:
        raise InputError(
            f"loss {loss.word}: got several heads with faces of several tokens (mf.faces says which); expected one head"
        )
    return FaceLimit(problem, loss, found)


@dataclass(frozen=True, eq=False)
class FaceLimit:
    """A problem whose flow goes to `faces` of several tokens.

    Near them L - L* = sum_c kappa_c e^-m_c, c the tokens outside, m_c the lead of the row's reference token, and the
    logits inside stand still at their balance: what moves them back is e^m times faster than what moves anything else.
    """

    problem: Problem
    loss: AbstractLoss
    faces: Faces

    @cached_property
    def constraints(self) -> Constraints:
        """Equalities inside, margins of at least 1 outside."""
        return self.problem.constraints(self.faces)

    @cached_property
    def outside(self) -> Constraints:
        """Those of level 1."""
        return self.constraints.restrict(~self.constraints.equal)

    def equal(self, diagonal: bool) -> Constraints:
        """The equalities that are independent for weights of this kind."""
        c = self.constraints.restrict(self.constraints.equal)
        A = _rows_of(c, diagonal)
        _, R, order = qr(A.T / np.linalg.norm(A, axis=1), mode="economic", pivoting=True)
        size = np.abs(np.diagonal(R))
        return c.restrict(np.sort(order[: int((size > INDEPENDENT * size[0]).sum())]))

    def finite(self, diagonal: bool) -> Floats:
        """(d, d_z) the least weights of this kind with the balance inside the faces."""
        if not diagonal:
            assert self.faces.finite is not None
            return self.faces.finite
        rows = self.equal(True)
        A, level = _rows_of(rows, True), -self.levels[rows.sample, rows.token]
        return np.diag(np.linalg.lstsq(A, level, rcond=None)[0])

    def inside(self, diagonal: bool) -> Floats:
        """(r,) the margins of `equal` at the balance inside the faces."""
        rows = self.equal(diagonal)
        return np.asarray(-self.levels[rows.sample, rows.token])

    def check(self, parameterization: AbstractParameterization) -> None:
        """Whether weights of this kind can have the balance inside the faces.

        Raises:
            InputError: diagonal weights that cannot.
        """
        if not parameterization.diagonal:
            return
        off, _ = self.off_balance(np.diagonal(self.finite(True)))
        if off > ATTAINED:
            raise InputError(
                f"parameterization {parameterization.word}: got a problem whose faces no diagonal weights settle in "
                f"(the nearest are {off:.3g} off, in logits); expected 'w' or 'kq' for it"
            )

    def off_balance(self, weights: Floats) -> tuple[float, float]:
        """The largest difference of a logit inside a face from the balance, and what of it may be rounding.

        Of weights (d, d_z), or (d,) where they are diagonals.
        """
        rows = self.constraints.restrict(self.constraints.equal)
        A = _rows_of(rows, weights.ndim == 1)
        off = A @ weights.ravel() + self.levels[rows.sample, rows.token]
        size = np.abs(A) @ np.abs(weights.ravel())
        return float(np.abs(off).max()), 64.0 * float(np.finfo(float).eps) * float(size.max())

    @cached_property
    def levels(self) -> Floats:
        """(n, T) the logits inside the faces at their balance, counted from the reference; `ABSENT` outside."""
        problem, rows = self.problem, np.arange(self.problem.n)
        with np.errstate(divide="ignore"):
            s = np.log(self.faces.shares) - np.log(self.faces.shares[rows, self.faces.reference])[:, None]
        return np.asarray(np.where(self.faces.members & problem.mask, s, ABSENT))

    @cached_property
    def log_kappa(self) -> Floats:
        """(n, T) log kappa of the tokens outside, -inf elsewhere."""
        problem, found = self.problem, self.faces
        gbar = (found.shares * problem.scores).sum(axis=1)
        u = np.asarray(np.bincount(problem.output, gbar), dtype=np.float64)[problem.output]
        own = found.shares[np.arange(problem.n), found.reference]
        kappa = np.exp(self.loss.log_slope(u)) * own / problem.counts[0]
        out = np.full(problem.mask.shape, -np.inf)
        i, token = self.outside.sample, self.outside.token
        out[i, token] = np.log(kappa[i] * (gbar[i] - problem.scores[i, token]))
        return out

    @cached_property
    def rows(self) -> Ints:
        """(k,) the rows that have a token outside."""
        return np.unique(self.outside.sample)

    def lead(self, high: Floats, low: Floats) -> Floats:
        """(B,) the least lead of a reference token over a token outside, of logits (B, n, T)."""
        i, token = self.outside.sample, self.outside.token
        top = self.faces.reference[i]
        return np.asarray(((high[:, i, top] - high[:, i, token]) + (low[:, i, top] - low[:, i, token])).min(axis=1))

    def log_excess(self, high: Floats, low: Floats) -> Floats:
        """(B,) log(L - L*) of logits (B, n, T); -inf where rounding leaves nothing of it."""
        i, token = self.outside.sample, self.outside.token
        top = self.faces.reference[i]
        margins = (high[:, i, top] - high[:, i, token]) + (low[:, i, top] - low[:, i, token])
        log_kappa = self.log_kappa[i, token]
        least = margins.min(axis=1, keepdims=True)
        late = np.log(np.exp(log_kappa - (margins - least)).sum(axis=1)) - least[:, 0]
        if (least >= CLOSE).all():
            return np.asarray(late)
        s = np.where(self.problem.mask, high + low, -np.inf)
        with np.errstate(divide="ignore"):
            parts = s + np.log(self.problem.scores)
            most = s.max(axis=2, keepdims=True)
            log_u = np.log(np.exp(parts - most).sum(axis=2)) - np.log(np.exp(s - most).sum(axis=2))
            value = self.loss.value_at(log_u).mean(axis=1)
            early = np.log(np.maximum(value - self.faces.minimal_loss, 0.0))
        return np.asarray(np.where(least[:, 0] >= CLOSE, late, early))

    def objective(self, parameterization: AbstractParameterization) -> Objective:
        """The limit as an objective: the rows of `rows`, each its reference against the tokens outside.

        A token outside pulls with kappa e^-m: what `Exponential` makes of a score -kappa beside 0.
        """
        problem, rows = self.problem, self.rows
        k = len(rows)
        scores = np.zeros(problem.mask.shape)
        i, token = self.outside.sample, self.outside.token
        scores[i, token] = -np.exp(self.log_kappa[i, token]) * k
        mask = np.isfinite(self.log_kappa)
        mask[np.arange(problem.n), self.faces.reference] = True
        X = np.where(mask[..., None], problem.X, 0.0)
        own = Tokens.of_arrays(X[rows], problem.z[rows], scores[rows], mask[rows], diagonal=parameterization.diagonal)
        equal = self.equal(parameterization.diagonal)
        held = Held(equal.a, equal.queries, parameterization.diagonal)
        return Objective(parameterization.map(problem.d, problem.d_z), own, Exponential(), held)

    def inner(self, high: Floats, low: Floats) -> Logits:
        """The logits (B, n, T) of the whole problem as those of `objective`, counted from the reference."""
        mask = np.isfinite(self.log_kappa)
        mask[np.arange(self.problem.n), self.faces.reference] = True
        top = self.faces.reference[self.rows][:, None]
        parts = []
        for v in (high[:, self.rows], low[:, self.rows]):
            parts.append(v - np.take_along_axis(v, np.broadcast_to(top, (*v.shape[:2], 1)), axis=2))
        return Logits(np.where(mask[self.rows], parts[0], ABSENT), np.where(mask[self.rows], parts[1], 0.0)).rebased()

    def whole(self, s: Logits, f: Floats, multipliers: Floats, equal: Constraints) -> tuple[Logits, Floats]:
        """Logits (B, k, T) and force of `objective` as those of the whole problem, with the forces inside the faces.

        These are the `multipliers` (B, r) of the equalities `equal`.
        """
        B = len(f)
        shape = (B, *self.problem.mask.shape)
        high, low, force = np.broadcast_to(self.levels, shape).copy(), np.zeros(shape), np.zeros(shape)
        outside = np.isfinite(self.log_kappa[self.rows])
        at = np.zeros(self.problem.mask.shape, dtype=bool)
        at[self.rows] = outside
        top = np.broadcast_to(self.faces.reference[self.rows][:, None], (B, len(self.rows), 1))
        for out, v in ((high, s.high), (low, s.low)):
            out[:, at] = (v - np.take_along_axis(v, top, axis=2))[:, outside]
        force[:, self.rows] = f
        for e, (i, token) in enumerate(zip(equal.sample, equal.token, strict=True)):
            force[:, i, self.faces.reference[i]] += multipliers[:, e]
            force[:, i, token] -= multipliers[:, e]
        return Logits(high, low).rebased(), force


def _rows_of(c: Constraints, diagonal: bool) -> Floats:
    """(C, D) the A_c as vectors in the weights."""
    return c.diagonal if diagonal else (c.a[:, :, None] * c.queries[:, None, :]).reshape(len(c), -1)

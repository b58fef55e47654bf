"""What is left of a loss near faces of several tokens: pulls from outside, levels inside (docs/flow.md 12)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.linalg import qr

from marginflow.arrays import Bools, Floats, Ints
from marginflow.errors import InputError
from marginflow.losses import AbstractOutputLoss
from marginflow.losses.abstract import scalar, token_values
from marginflow.losses.exponential import Exponential
from marginflow.model.goal import AbstractGoal
from marginflow.model.heads import map_of
from marginflow.model.held import Held
from marginflow.model.logit_map import Tokens
from marginflow.model.logits import ABSENT, Logits
from marginflow.model.objective import Objective
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.values import Values
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Problem


INDEPENDENT: Final = 1e-10
"""An equality whose part off those before is below this, relative, follows from them."""

ATTAINED: Final = 1e-8
"""A logit inside a face nearer to the balance than this is there: the shares themselves are known to about as much."""

ROUNDED: Final = 16.0 * float(np.finfo(float).eps)
"""What a logit at the balance may be off by rounding, relative."""

NEARLY: Final = 1e-4
"""Distance of logits inside from the balance up to which what it costs is taken to second order, to 1e-4 of itself."""

BALANCED: Final = 1e-4
"""How far logits inside a face that is held may be from its balance."""

PULLED: Final = 10.0
"""And how far more, times e^-lead: what tokens outside still pull at."""

FACE_LEAD: Final = 19.9
"""The lead out of a face from which tokens outside weigh e^-20 of those inside: where flow/onto_face.py lands."""

CLOSE: Final = 15.0
"""Lead out of the face from which the excess is that of the pulls from outside, to e^-15 of itself."""


@dataclass(frozen=True, eq=False)
class FaceLimit(AbstractGoal):
    """A problem whose flow goes to `faces` of several tokens.

    Near them L - L* = sum_c kappa_c e^-m_c, c the tokens outside, m_c the lead of the row's reference token, and the
    logits inside stand still at their balance: what moves them back is e^m times faster than what moves anything else.
    """

    problem: Problem
    loss: AbstractOutputLoss
    faces: Faces
    words = "the predicted faces"

    @property
    def keeps_faces(self) -> bool:
        return True

    @property
    def reference(self) -> Ints:
        return self.faces.reference

    @property
    def members(self) -> Bools:
        return self.faces.members

    @property
    def shares(self) -> Floats:
        return self.faces.shares

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
        if not len(c):
            return c
        A = c.vectors(diagonal)
        _, R, order = qr(A.T / np.linalg.norm(A, axis=1), mode="economic", pivoting=True)
        size = np.abs(np.diagonal(R))
        return c.restrict(np.sort(order[: int((size > INDEPENDENT * size[0]).sum())]))

    def finite(self, diagonal: bool) -> Floats:
        """(d, d_z), of several heads (H, d, d_z): the least weights of this kind with the balance inside the faces."""
        if not diagonal:
            assert self.faces.finite is not None
            return self.faces.finite
        rows, d = self.equal(True), self.problem.d
        beta: Floats = np.zeros(rows.heads * d)
        if len(rows):
            beta = np.asarray(np.linalg.lstsq(rows.vectors(True), self.inside(True), rcond=None)[0])
        W = beta.reshape(-1, d, 1) * np.eye(d)
        return W if rows.heads > 1 else W[0]

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
        off = self.lack_of_diagonals
        if off > ATTAINED:
            raise InputError(
                f"parameterization {parameterization.word}: got a problem whose faces no diagonal weights settle in "
                f"(the nearest are {off:.3g} off, in logits); expected 'w' or 'kq' for it"
            )

    @property
    def lack_of_diagonals(self) -> float:
        """The largest difference of a logit inside a face from the balance, of the best diagonal weights."""
        return self.off_balance(np.diagonal(self.finite(True), axis1=-2, axis2=-1))[0]

    def off_balance(self, weights: Floats) -> tuple[float, float]:
        """The largest difference of a logit inside a face from the balance, and what of it may be rounding.

        Of weights (d, d_z), or (d,) where they are diagonals; of several heads (H, ...).
        """
        rows = self.constraints.restrict(self.constraints.equal)
        A = rows.vectors(weights.ndim == (1 if rows.heads == 1 else 2))
        off = A @ weights.ravel() + self.levels[rows.sample, rows.token]
        size = np.abs(A) @ np.abs(weights.ravel())
        eps = float(np.finfo(float).eps)
        return float(np.abs(off).max(initial=0.0)), 64.0 * eps * float(size.max(initial=0.0))

    @cached_property
    def levels(self) -> Floats:
        """(n, T) the logits inside the faces at their balance, counted from the reference; `ABSENT` outside."""
        problem, rows = self.problem, np.arange(self.problem.n)
        with np.errstate(divide="ignore"):
            s = np.log(self.faces.shares) - np.log(self.faces.shares[rows, self.faces.reference])[:, None]
        return np.asarray(np.where(self.faces.members & problem.mask, s, ABSENT))

    @cached_property
    def outputs(self) -> Floats:
        """(m, k) the outputs at the shares."""
        each = np.einsum("nt,ntk->nk", self.faces.shares, token_values(self.problem))
        u = np.zeros((self.problem.counts[0], each.shape[1]))
        np.add.at(u, self.problem.output, each)
        return u

    @cached_property
    def kappa(self) -> Floats:
        """(n, T) what each token outside pulls with but for e^-margin, < 0 of a better one; nan elsewhere.

        The share of the reference times what the token's effective score is short of the mean one, over the outputs.
        """
        problem, found = self.problem, self.faces
        score = self.loss.pull(self.outputs, problem)
        mean = (found.shares * np.where(problem.mask, score, 0.0)).sum(axis=1)
        own = found.shares[np.arange(problem.n), found.reference] / problem.counts[0]
        out = np.full(problem.mask.shape, np.nan)
        i, token = self.outside.sample, self.outside.token
        out[i, token] = own[i] * (mean[i] - score[i, token])
        return out

    @cached_property
    def followed(self) -> Bools:
        """(n, T) the tokens that `objective` follows: those outside, and the references."""
        out = np.isfinite(self.kappa)
        out[np.arange(self.problem.n), self.faces.reference] = True
        return out

    @property
    def better(self) -> Constraints:
        """Those of the tokens outside that have a larger effective score than the face."""
        return self.outside.restrict(self.kappa[self.outside.sample, self.outside.token] < 0.0)

    @property
    def held_back(self) -> Constraints:
        """All but these: equalities inside, margins of at least 1 over tokens of smaller effective score."""
        c = self.constraints
        return c.restrict(c.equal | ~(self.kappa[c.sample, c.token] < 0.0))

    @cached_property
    def rows(self) -> Ints:
        """(k,) the rows that have a token outside."""
        return np.unique(self.outside.sample)

    def lead(self, high: Floats, low: Floats) -> Floats:
        """(B,) the least lead of a reference token over a token outside, of logits (B, n, T)."""
        i, token = self.outside.sample, self.outside.token
        top = self.faces.reference[i]
        return np.asarray(((high[:, i, top] - high[:, i, token]) + (low[:, i, top] - low[:, i, token])).min(axis=1))

    def lead_if_held(self, high: Floats, low: Floats) -> float | None:
        """The lead of logits (n, T) out of the faces, None where those inside are not at their balance.

        Up to `BALANCED`, and to what the tokens outside pull at: e^-lead.
        """
        lead, rough = float(self.lead(high[None], low[None])[0]), high + low
        top = np.take_along_axis(rough, self.faces.reference[:, None], axis=1)
        off = np.abs(np.where(self.faces.members, rough - top - self.levels, 0.0)).max()
        return lead if off <= BALANCED + PULLED * np.exp(-lead) else None

    def log_excess(self, high: Floats, low: Floats) -> Floats:
        """(B,) log(L - L*) of logits (B, n, T); -inf where rounding leaves nothing of it."""
        i, token = self.outside.sample, self.outside.token
        top = self.faces.reference[i]
        margins = (high[:, i, top] - high[:, i, token]) + (low[:, i, top] - low[:, i, token])
        least = margins.min(axis=1, keepdims=True)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            late = np.log((self.kappa[i, token] * np.exp(least - margins)).sum(axis=1)) - least[:, 0]
        off, inside = self._inside(high + low)
        near = least[:, 0] >= CLOSE
        near &= off <= NEARLY
        late = np.logaddexp(late, inside)
        if near.all():
            return np.asarray(late)
        with np.errstate(divide="ignore"):
            early = np.log(np.maximum(self._mean_loss(high + low) - self.faces.minimal_loss, 0.0))
        return np.asarray(np.where(near, late, early))

    def _inside(self, rough: Floats) -> tuple[Floats, Floats]:
        """(B,) how far logits (B, n, T) inside the faces are from the balance at most, and log of what that costs.

        To second order: (h'Hh + the force along what softmax bends) / 2, h the change of an output and H the Hessian of
        its loss. The force vanishes where a row has its own balance; rows that share one are each pulled.
        """
        problem, shares = self.problem, self.faces.shares
        top = rough[:, np.arange(problem.n), self.faces.reference][..., None]
        off = np.where(self.faces.members, rough - top - self.levels, 0.0)
        off[np.abs(off) <= ROUNDED * (1.0 + np.abs(np.where(self.faces.members, self.levels, 0.0)))] = 0.0
        near = np.clip(off, -1.0, 1.0)
        values = token_values(problem)
        mean = np.einsum("nt,ntk->nk", shares, values)
        moved = np.einsum("bnt,ntk->bnk", near, shares[..., None] * (values - mean[:, None, :]))
        h = np.zeros((problem.counts[0], len(rough), problem.k))
        np.add.at(h, problem.output, moved.transpose(1, 0, 2))
        H = self.loss.hessian(self.outputs, problem.labels)
        along = near - (shares * near).sum(axis=2, keepdims=True)
        bent = -np.einsum("nt,bnt->b", self._force_inside, along**2)
        cost = (np.einsum("obk,okj,obj->b", h, H, h) + bent) / (2.0 * problem.counts[0])
        with np.errstate(divide="ignore"):
            return np.abs(off).max(axis=(1, 2)), np.log(np.maximum(cost, 0.0))

    @cached_property
    def _force_inside(self) -> Floats:
        """(n, T) p (e - its mean) of the members at the balance; 0 of rows whose members score alike there."""
        score = np.where(self.faces.members, self.loss.pull(self.outputs, self.problem), 0.0)
        return np.asarray(self.faces.shares * (score - (self.faces.shares * score).sum(axis=1, keepdims=True)))

    def _mean_loss(self, rough: Floats) -> Floats:
        if self.problem.values is not None:
            return Values.of(self.problem, self.loss).mean_loss(rough)
        s = np.where(self.problem.mask, rough, -np.inf)
        with np.errstate(divide="ignore"):
            parts = s + np.log(self.problem.scores)
            most = s.max(axis=2, keepdims=True)
            log_u = np.log(np.exp(parts - most).sum(axis=2)) - np.log(np.exp(s - most).sum(axis=2))
            return np.asarray(scalar(self.loss).value_at(log_u).mean(axis=1))

    def objective(self, parameterization: AbstractParameterization) -> Objective:
        """The limit as an objective: the rows of `rows`, each its reference against the tokens outside.

        A token outside pulls with kappa e^-m: what `Exponential` makes of a score -kappa beside 0; of a better one it
        is above 0.
        """
        problem, rows = self.problem, self.rows
        k = len(rows)
        scores = np.zeros(problem.mask.shape)
        i, token = self.outside.sample, self.outside.token
        scores[i, token] = -self.kappa[i, token] * k
        mask = self.followed
        X = np.where(mask[..., None], problem.X, 0.0)
        diagonal, arrays = parameterization.diagonal, (X[rows], problem.z[rows], scores[rows], mask[rows])
        own = Tokens.of_arrays(*arrays, diagonal=diagonal, head=problem.head[rows], heads=problem.counts[1])
        equal = self.equal(diagonal)
        held = Held(equal, diagonal) if len(equal) else None
        return Objective(map_of(parameterization, problem), own, Exponential(), held)

    def inner(self, high: Floats, low: Floats) -> Logits:
        """The logits (B, n, T) of the whole problem as those of `objective`, counted from the reference."""
        mask = self.followed
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
        outside = np.isfinite(self.kappa[self.rows])
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

"""The pull of the loss on every logit, exact at any margin (theory 3.2, 3.3; derived in docs/flow.md)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, starts_of_runs
from marginflow.losses import AbstractLoss
from marginflow.model.logits import Logits, flat_index, sample_starts
from marginflow.model.outputs import Outputs


SMALLEST_NORM: Final = 1e-140
"""Below it the squares of the force lose digits, and the force is scaled first."""


SMALLEST_SPREAD: Final = 1e-300
"""Of effective scores, whose square would underflow."""

SMALL_OUTPUT: Final = 1e-3
"""Outputs below it are taken from the logits in logarithms by losses that are functions of log u."""


@dataclass(frozen=True, eq=False)
class Bend:
    """How the pull of a loss of outputs in R^k turns when the outputs move: du_o = sum over the rows of o of moved ds,

    and -back . du_o is what that adds to f.

    Attributes:
        scores: (B, n, T) effective scores <-grad l(u_o), v_il>, counted from the top token of the row.
        moved: (B, n, T, k) p_il (v_il - mean v_i).
        back: (B, n, T, k) the same times the Hessian of the loss at u_o, over m N.
    """

    scores: Floats
    moved: Floats
    back: Floats

    def jvp(self, ds: Floats, outputs: Outputs) -> Floats:
        """(B, n, T) the change of f by that of the outputs when the logits change by `ds` (B, n, T)."""
        du = np.einsum("bntk,bnt->bkn", self.moved, ds)
        return np.asarray(-np.einsum("bntk,bkn->bnt", self.back, outputs.spread(outputs.sum(du))))


@dataclass(frozen=True, eq=False)
class Force:
    """The descent direction in the logits, of unit length, and its size.

    With F_il = -dL/ds_il = (1/m) (-l'(u_o)) p_il (gamma_il - gbar_i), u_o the sum of the gbar_i of the rows of i's
    output o, and N = ||F||:

    Attributes:
        f: (B, n, T) F / N.
        log_norm: (B,) log N; psi = -log N grows like the least margin that acts.
        p: (B, n, T) softmax of the logits.
        slope_gradient: (B, n, T) p_il (gamma_il - gbar_i) times -d log(-l')/d gbar: how the loss factor reacts.
        top: (B, n) the token of largest logit.
        gap: (B, n) its lead over the best token of another score; inf for none.
        outputs: which rows share an output, and with it the loss factor.
        bend: of outputs in R^k, in the place of `slope_gradient` (then 0); None of a scalar output.
    """

    f: Floats
    log_norm: Floats
    p: Floats
    slope_gradient: Floats
    top: Ints
    gap: Floats
    outputs: Outputs | None = None
    bend: Bend | None = None

    def jvp(self, ds: Floats) -> Floats:
        """(B, n, T) the exact change J_f ds of `f` to first order in `ds` (B, n, T)."""
        if self.bend is not None:
            out = self._of_values(ds, self.bend)
            return np.asarray(out - self.f * (self.f * out).sum(axis=(1, 2), keepdims=True))
        if self.outputs is None:
            mean = ((self.p + self.slope_gradient) * ds).sum(axis=2, keepdims=True)
        else:
            mean = (self.p * ds).sum(axis=2, keepdims=True)
            mean += self._sway((self.slope_gradient * ds).sum(axis=2))
        out = self.f * (ds - mean) - self.p * (self.f * ds).sum(axis=2, keepdims=True)
        out -= self.f * (self.f * out).sum(axis=(1, 2), keepdims=True)
        return np.asarray(out)

    def _of_values(self, ds: Floats, bend: Bend) -> Floats:
        """(B, n, T) the change of the force over N, of outputs in R^k."""
        assert self.outputs is not None
        out = self.f * (ds - (self.p * ds).sum(axis=2, keepdims=True))
        out -= self.p * (self.f * ds).sum(axis=2, keepdims=True)
        return np.asarray(out + bend.jvp(ds, self.outputs))

    @cached_property
    def _off(self) -> Floats:
        """(B, n, T) effective scores less the mean of their row under attention."""
        assert self.bend is not None
        scores = self.bend.scores
        return np.asarray(scores - (self.p * scores).sum(axis=2, keepdims=True))

    @cached_property
    def log_spread(self) -> Floats:
        """(B,) of outputs in R^k: log of the sum over rows of the variance of effective scores under attention."""
        return np.asarray(np.log(np.maximum((self.p * self._off**2).sum(axis=(1, 2)), SMALLEST_SPREAD)))

    def spread_rate(self, ds: Floats) -> Floats:
        """(B,) the rate of `log_spread` when the logits move at `ds` (B, n, T)."""
        assert self.bend is not None and self.outputs is not None
        moved = ds - (self.p * ds).sum(axis=2, keepdims=True)
        norm = np.exp(self.log_norm) * self.outputs.m
        turned = (self._off * self.bend.jvp(ds, self.outputs)).sum(axis=(1, 2)) * norm
        out = (self.p * moved * self._off**2).sum(axis=(1, 2)) + 2.0 * turned
        return np.asarray(out / np.exp(self.log_spread))

    def psi_rate(self, ds: Floats) -> Floats:
        """(B,) the rate of psi = -log N when the logits move at `ds` (B, n, T)."""
        f = self.f
        if self.bend is not None:
            return np.asarray(-(f * self._of_values(ds, self.bend)).sum(axis=(1, 2)))
        size = (f * f).sum(axis=2, keepdims=True)
        mean = (self.p * f).sum(axis=2, keepdims=True)
        if self.outputs is None:
            gradient = f * f - (self.p + self.slope_gradient) * size - f * mean
        else:
            gradient = f * f - self.p * size - self.slope_gradient * self._sway(size[..., 0]) - f * mean
        return np.asarray(-(gradient * ds).sum(axis=(1, 2)))

    def _sway(self, each: Floats) -> Floats:
        """(B, n, 1) the sums over an output's rows of `each` (B, n): what changes its loss factor, for all its rows."""
        assert self.outputs is not None
        return self.outputs.spread(self.outputs.sum(each))[..., None]


def force(s: Logits, scores: Floats, loss: AbstractLoss, outputs: Outputs | None = None) -> Force:
    """Evaluate the force of `loss` at the logits `s` for tokens of `scores` (P, n, T).

    Rows add up to `outputs`, of whose losses it is the mean; None where every row is an output of its own.

    Everything is counted from the top token a of each sample: with q_l = s_l - s_a <= 0 and
    D = sum_l p_l (gamma_l - gamma_a), F_l is proportional to p_l (gamma_l - gamma_a) - p_l D. No two terms
    of one sign class cancel, and the common factor e^(largest q) is taken out before anything can underflow.
    """
    shape = s.high.shape
    rough = s.high + s.low
    top = rough.argmax(axis=2)
    index = flat_index(top, shape)
    high = s.high - s.high.take(index)[..., None]
    low = s.low - s.low.take(index)[..., None]
    q = high + low
    weight = np.exp(q)
    total = weight.sum(axis=2, keepdims=True)
    p = weight / total
    top_score = scores.take(index, mode="wrap")[..., None]
    lead = scores - top_score
    shift = (p * lead).sum(axis=2, keepdims=True)
    gbar = top_score + shift
    u = gbar if outputs is None else outputs.spread(outputs.sum(gbar[..., 0]))[..., None]
    small = (u < SMALL_OUTPUT) if loss.of_log else None
    u = u if small is None else np.maximum(u, SMALL_OUTPUT)
    slope_gradient = p * (lead - shift) * loss.curvature(u)
    log_slope = loss.log_slope(u)
    if small is not None and small.any():
        own = _of_log(q - np.log(total), scores, loss, outputs)
        log_slope = np.where(small, own[0], log_slope)
        slope_gradient = np.where(small, own[1], slope_gradient)
    factor = log_slope - np.log(total)
    acts = lead != 0.0
    reach = np.where(acts, q, -np.inf)
    first = (reach + factor).reshape(shape[0], -1).argmax(axis=1) + sample_starts(shape)[:, 0]
    lead_high = high.take(first)[:, None, None]
    lead_low = low.take(first)[:, None, None]
    lead_factor = factor.take(first // shape[2])[:, None, None]
    # A tie carries no force whatever its weight; capping its exponent keeps 0 * inf away.
    exponent = np.minimum((high - lead_high) + (low - lead_low) + (factor - lead_factor), 60.0)
    pull = np.exp(exponent) * lead
    F = pull - p * pull.sum(axis=2, keepdims=True)
    norm = np.sqrt((F * F).sum(axis=(1, 2)))
    if (norm < SMALLEST_NORM).any():
        # Scores of 1e-170 apart: their squares underflow.
        largest = np.maximum(np.abs(F).max(axis=(1, 2)), 1e-300)
        inside = F / largest[:, None, None]
        norm = largest * np.sqrt((inside * inside).sum(axis=(1, 2)))
    m = shape[1] if outputs is None else outputs.m
    log_norm = lead_high[:, 0, 0] + ((lead_low + lead_factor)[:, 0, 0] + np.log(norm) - np.log(m))
    return Force(F / norm[:, None, None], log_norm, p, slope_gradient, top, -reach.max(axis=2), outputs)


def _of_log(log_p: Floats, scores: Floats, loss: AbstractLoss, outputs: Outputs | None) -> tuple[Floats, Floats]:
    """log(-l') (B, n, 1) and p (gamma - gbar) times the curvature (B, n, T) of a function of log u, from logarithms.

    On a wrong plateau u is e^-1000, and what reacts is the share q_l = p_l gamma_l / u of each token in it:
    d log u = sum_l q_l ds_l - sum_i (sum_{l in i} q_l) sum_{l in i} p_l ds_l.
    """
    with np.errstate(divide="ignore"):
        parts = log_p + np.log(scores)
    log_u = _logsumexp(parts)
    if outputs is not None:
        log_u = outputs.spread(outputs.logsumexp(log_u))
    share = np.exp(parts - log_u[..., None])
    sway = share - np.exp(log_p) * share.sum(axis=2, keepdims=True)
    return loss.log_slope_at(log_u)[..., None], sway * loss.curvature_at(log_u)[..., None]


def _logsumexp(v: Floats) -> Floats:
    """Over the last axis; -inf where all are."""
    most = np.maximum(v.max(axis=-1), -1e308)
    with np.errstate(divide="ignore"):
        return np.asarray(most + np.log(np.exp(v - most[..., None]).sum(axis=-1)))


def log_excess(
    s: Logits, scores: Floats, optimal: Ints, mask: Bools, loss: AbstractLoss, outputs: Outputs | None = None
) -> Floats:
    """(B,) log(L - L*) from the logits, without subtracting losses (theory 3.3).

    `optimal` is (P, n); `mask` (P, n, T); rows add up to `outputs`, to one each where None.
    """
    shape = s.high.shape
    scores = np.broadcast_to(scores, shape)
    best = np.take_along_axis(scores, np.broadcast_to(optimal, shape[:2])[..., None], axis=2)
    q = s.rebased()
    logits = np.where(mask, q.high + q.low, -np.inf)
    log_total = np.log(np.exp(logits).sum(axis=2))
    with np.errstate(divide="ignore"):
        short = np.log(np.where(mask, best - scores, 0.0))
    # Everything is counted from the largest term, so that only the last addition rounds at the margin's size.
    first = (logits + short).reshape(shape[0], -1).argmax(axis=1) + np.arange(shape[0]) * (shape[1] * shape[2])
    offset = q.high.reshape(-1)[first]
    terms = (q.high - offset[:, None, None]) + q.low + short
    most = terms.max(axis=2)
    log_delta = most + np.log(np.exp(terms - most[..., None]).sum(axis=2)) - log_total
    top = best[..., 0]
    if outputs is not None:
        log_delta, top = outputs.logsumexp(log_delta), outputs.sum(top)
    # log(expm1(delta)) = log delta + log(expm1(delta)/delta), the last term 0 once delta is below rounding.
    delta = np.exp(log_delta + offset[:, None])
    log_expm1 = np.where(delta > 30.0, delta - offset[:, None], log_delta)
    middle = (delta > 1e-17) & (delta <= 30.0)
    log_expm1[middle] = (np.log(np.expm1(np.where(middle, delta, 1.0))) - offset[:, None])[middle]
    each = loss.log_gain(top, log_expm1, offset[:, None])
    if loss.of_log:
        # Far from the best u is not 1 - delta but what the logits say.
        with np.errstate(divide="ignore"):
            log_u = _logsumexp(logits - log_total[..., None] + np.log(scores))
            log_u = log_u if outputs is None else outputs.logsumexp(log_u)
            far = loss.log_gain_at(np.log(top), log_u) - offset[:, None]
        each = np.where(delta > 0.1 * top, far, each)
    most = each.max(axis=1)
    inside = most + np.log(np.exp(each - most[:, None]).sum(axis=1)) - np.log(each.shape[1])
    return np.asarray(offset + inside)


def jacobian_product(
    f: Floats,
    p: Floats,
    slope_gradient: Floats,
    sample: Ints,
    M: Floats,
    output: Ints | None = None,
    bend: tuple[Floats, Floats] | None = None,
) -> Floats:
    """(B, A, A) J_f M for the rows and columns of the tokens that act; all others are (B, A).

    Within a sample J_f is diag(f) - f w' - p f', w = p + slope_gradient, so that no product of two A x A matrices is
    needed. The tokens of a `sample` stand together; `output` (B, A) where the slope is that of several samples.
    `bend` holds `moved` and `back` (B, A, k) of outputs in R^k: a matrix of rank k for each.
    """
    size = M.shape[2]
    rows = M.reshape(-1, size)
    order = sample.ravel()
    starts = starts_of_runs(order)
    ids = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    out = f.reshape(-1, 1) * rows
    pulled = np.add.reduceat(out, starts, axis=0)
    if output is None:
        seen = np.add.reduceat((p + slope_gradient).reshape(-1, 1) * rows, starts, axis=0)
    else:
        seen = np.add.reduceat(p.reshape(-1, 1) * rows, starts, axis=0)
        swayed = np.add.reduceat(slope_gradient.reshape(-1, 1) * rows, starts, axis=0)
        of_sample = output.ravel()[starts]
        by_output = np.argsort(of_sample, kind="stable")
        first = starts_of_runs(of_sample[by_output])
        whole = np.add.reduceat(swayed[by_output], first, axis=0)
        seen[by_output] += np.repeat(whole, np.diff(first, append=len(by_output)), axis=0)
    out -= f.reshape(-1, 1) * seen[ids]
    out -= p.reshape(-1, 1) * pulled[ids]
    out = out.reshape(M.shape)
    if bend is not None:
        assert output is not None
        for b, of in enumerate(output):
            chosen = (of[:, None] == np.unique(of))[:, :, None]
            moved, back = ((chosen * v[b][:, None, :]).reshape(size, -1) for v in bend)
            out[b] -= back @ (moved.T @ M[b])
    out -= f[:, :, None] * (f[:, None, :] @ out)
    return out

"""What a step may be: its error, the switches it may not jump, the activations before which it ends, its kind."""

from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.point import Point
from marginflow.flow.rosenbrock import Step
from marginflow.model.logit_map import Tokens
from marginflow.model.objective import Objective


FORCE_TOLERANCE: Final = 0.05
"""How much the unit force may differ between a step and its embedded solution."""

RESOLVED: Final = 4.0
"""Logit lead (nats) below which a pair of tokens carries force: its weight is above e^-4. Counted from 0, or from the
least lead of the run."""

MANY_ACTIVE: Final = 1500
"""Tokens from which active^3 is dearer than more and shorter explicit steps."""

STIFF: Final = 20.0
"""Lead from which steps are implicit."""

PATIENCE: Final = 400
"""Steps after which a small lead no longer means that nothing is stiff."""

STIFF_FACE: Final = 2.0
"""Lead out of a face of several tokens from which steps are implicit."""

STIFF_BEND: Final = 10.0
"""Rate of balance of outputs in R^k, on the clock of unit force, from which steps are implicit."""

FEW: Final = 60
"""Steps of outputs in R^k after which they are implicit: what is slow then is stiff, whatever its rate looks like."""

LANDING: Final = 1e-6
"""How far past the margin asked for a run may end, relative."""

FELT: Final = -7.0
"""Log of a token's share of the force above which the Jacobian sees the token: steps need not stop for it."""

SHORT_OF_ACTIVATION: Final = 0.05
"""The part of the way to an activation that is left for the next step: the stages within a step overshoot its end."""


LOSS_ROUNDING: Final = 64.0
"""Rounding of the log excess, in units of eps times the logits: what a loss may rise in a step of no effect."""


def step_error(objective: Objective, at: Point, new: Point, tried: Step, rtol: float) -> Floats:
    """(B,) the error of a step from `at` to `new` over what is allowed; 1 and below is good.

    Parameters and logits are held to `rtol`. At a margin of 1e9 that alone would let the logits of the acting
    constraints, whose differences are of order 1, go anywhere: so the change of the force that the error makes,
    by the response of either end, is bounded too, less what float64 cannot tell.
    """
    theta = objective.map.distance(new.theta, tried.theta_error) / rtol
    off = tried.ds_error - np.take_along_axis(tried.ds_error, new.force.top[..., None], axis=2)
    size = 1.0 + np.abs(new.s.high)
    logits = (np.abs(off) / size).max(axis=(1, 2)) / rtol
    floor = 50 * np.finfo(float).eps * np.where(objective.tokens.mask, size, 0.0).max(axis=(1, 2))
    change = np.abs(new.force.f - tried.embedded.f)
    for end in (at, new):
        change = np.maximum(change, np.abs(end.force.jvp(tried.ds_error)))
    change = change.max(axis=(1, 2))
    weights = np.maximum(change - floor, 0.0) / FORCE_TOLERANCE
    return np.asarray(np.maximum(np.maximum(theta, logits), weights))


def switch_guard(at: Point, new: Point, scores: Floats) -> Floats:
    """(B,) 1 where no step jumped over a switch of tokens, else the part of the step after which to look again.

    While two tokens of a sample change places, their pair pulls towards the better one with all the force there
    is. A step that changes the top token must therefore begin or end with that pair in the force; and a change
    to a worse token, which that pull resists, must be seen from both sides. `scores` are not read where the force has
    effective scores of its own.
    """
    old, now = at.force.top, new.force.top
    out = np.ones(len(old))
    if not (old != now).any():
        return out
    gain = _gain(at, scores, old, now)
    if at.force.bend is not None and new.force.bend is not None:
        # Effective scores turn with the outputs: a change is to a better token if it is so at either end.
        gain = np.maximum(_gain(at, at.force.bend.scores, old, now), _gain(new, new.force.bend.scores, old, now))
    before, after = at.force.gap, new.force.gap
    seen_before = before <= before.min(axis=1, keepdims=True) + RESOLVED
    seen_after = after <= after.min(axis=1, keepdims=True) + RESOLVED
    both = (before <= RESOLVED) & (after <= RESOLVED)
    fine = (gain == 0) | ((gain > 0) & (seen_before | seen_after)) | both
    part = np.where(fine, 1.0, np.clip(before / (before + after), 0.1, 0.9))
    return np.asarray(np.minimum(out, part.min(axis=1)))


def _gain(at: Point, scores: Floats, old: Ints, now: Ints) -> Floats:
    """(B, n) by how much the scores of the tokens `now` exceed those of `old`."""
    scores = np.broadcast_to(scores, at.ds.shape)
    one, other = (np.take_along_axis(scores, tokens[..., None], axis=2) for tokens in (now, old))
    return np.asarray((one - other)[..., 0])


def clip_to_margin(objective: Objective, at: Point, new: Point, margin: float) -> Floats:
    """(B,) 1 where no step leads from below `margin` past it, else the part after which, on a line, the lead is it."""
    before, after = (objective.lead(end.s, end.force) for end in (at, new))
    past = (before < margin) & (after > margin * (1.0 + LANDING))
    part = (margin * (1.0 + LANDING / 2.0) - before) / (after - before)
    return np.asarray(np.where(past, np.clip(part, 1e-3, 0.999), 1.0))


def activation(at: Point, psi: Floats, psi_rate: Floats, h: Floats) -> Floats:
    """(B,) the longest step, `h` (B,) at most, that ends before a token out of the force comes into it.

    The log of a token's force moves at the rate of its logit over the mean, plus that of psi. At large margins it
    passes from -1e6 to the balance of forces within a part of 1e-6 of a step, and a step across has nothing of it
    in its Jacobian: its stages end at e^1000. Steps that were rejected, and those that follow them, end here.
    """
    f = np.abs(at.force.f)
    far = at.s.high + psi[:, None, None]
    # A force of exactly 0 is a tie (never felt) or underflowed, where the logit alone is near enough.
    level = np.where(f > 1e-280, np.log(f), np.where(at.s.high < 0.0, far, -np.inf))
    rate = at.ds - (at.force.p * at.ds).sum(axis=2, keepdims=True) + psi_rate[:, None, None]
    meets = (level < FELT) & np.isfinite(level) & (level + rate * h[:, None, None] > 0.0)
    until = np.where(meets, np.maximum(FELT - (1.0 - SHORT_OF_ACTIVATION) * level, 1.0) / rate, np.inf)
    return np.asarray(np.minimum(h, until.min(axis=(1, 2))))


def loss_rises(objective: Objective, at: Point, new: Point, ds: Floats) -> Bools:
    """(B,) whether the loss is higher after the step by more than its rounding, which no flow does.

    The loss falls at the rate f.ds: it is looked at only where that is negative at an end of the step.
    """
    uphill = (at.force.f * ds).sum(axis=(1, 2)) < 0.0
    uphill |= (new.force.f * ds).sum(axis=(1, 2)) < 0.0
    if not uphill.any():
        return uphill
    size = np.where(objective.tokens.mask, np.abs(at.s.high) + np.abs(new.s.high), 0.0).max(axis=(1, 2))
    rise = objective.rise(at.s, new.s)
    return np.asarray(uphill & (rise > LOSS_ROUNDING * np.finfo(float).eps * (1.0 + size)))


def explicit_pays(objective: Objective, at: Point, h: Floats, steps: Ints, rtol: float, stiff: float = STIFF) -> Bools:
    """(B,) whether an explicit step is cheaper: half the work of a small implicit one, which grows as active^3.

    Stiffness grows with the lead; the limits were found by timing (docs/flow.md). A run that has a small lead after
    many `steps` (B,) is stiff for another reason, such as tokens of very different length. Each run decides for
    itself, so that it does in a batch what it does alone. `stiff` is the lead up to which that is so.
    """
    lead = at.force.gap.min(axis=1)
    if at.force.bend is not None:
        return (_relaxation(at) < STIFF_BEND) & (steps < FEW)
    if objective.lead_of is not None:
        # What balances inside a face is stiff as soon as the tokens outside are left behind.
        return np.asarray(objective.lead(at.s, at.force) < STIFF_FACE)
    out = (lead < stiff) & (steps < PATIENCE)
    if at.ds[0].size > MANY_ACTIVE and (lead < 300.0).any():
        many = acts(at, h, rtol).sum(axis=1) > MANY_ACTIVE
        out |= many & (lead < 300.0)
    return np.asarray(out)


def _relaxation(at: Point) -> Floats:
    """(B,) a rate at which outputs in R^k come to balance, of the size of the largest: that of logits that move as fast
    as they do now, under the k x k bend of the loss.
    """
    assert at.force.bend is not None
    bend = (at.force.bend.moved * at.force.bend.back).sum(axis=(1, 2, 3))
    return np.asarray(bend * np.abs(at.ds).max(axis=(1, 2)))


def active_tokens(at: Point, h: Floats, rtol: float, tokens: Tokens) -> Ints | None:
    """(B, A) the flat indices of the tokens whose row of the Jacobian can matter in the next step; None for all.

    Of several heads, as many of each, one head after the other, -1 where a head has no more.
    """
    size = at.ds[0].size
    if tokens.by_head:
        chosen = acts(at, h, rtol)
        parts = [_of_head(chosen[:, places], places) for places in tokens.places]
        longest = max(part.shape[1] for part in parts)
        fill = [np.full((len(h), longest - part.shape[1]), -1) for part in parts]
        return np.concatenate([a for pair in zip(parts, fill, strict=True) for a in pair], axis=1)
    if size <= 32:
        return None
    chosen = acts(at, h, rtol)
    most = int(chosen.sum(axis=1).max())
    if most == 0 or 2 * most > size:
        return None
    return _first(chosen, most)


def _of_head(chosen: Bools, places: Ints) -> Ints:
    """(B, A) those of the `places` of one head that are `chosen` (B, N); all where that is no more work."""
    B, size = chosen.shape
    most = int(chosen.sum(axis=1).max())
    if size <= 32 or most == 0 or 2 * most > size:
        return np.broadcast_to(places, (B, size))
    return np.asarray(places[_first(chosen, most)])


def _first(chosen: Bools, most: int) -> Ints:
    """(B, most) the indices of the `chosen` (B, N), ascending; shorter lists are filled up with any others."""
    out = np.argpartition(~chosen, most - 1, axis=1)[:, :most]
    out.sort(axis=1)
    return np.asarray(out)


def acts(at: Point, h: Floats, rtol: float) -> Bools:
    """(B, n T) the rows of J_f that can matter in a step `h` (B,).

    Row l is of size |f_l| + p_l |f_i|. What it is multiplied with is of the size of the change of the logits in the
    step, so rows below `rtol` over that are left out.
    """
    here = at.force
    per_sample = np.abs(here.f).max(axis=2, keepdims=True)
    weight = (np.abs(here.f) + here.p * per_sample).reshape(len(h), -1)
    least = 1e-4 * rtol / (1.0 + h * np.abs(at.ds).max(axis=(1, 2)))
    return np.asarray(weight >= least[:, None])

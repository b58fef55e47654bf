"""Two numbers with the true value between them, from weights and multipliers alone (theory 3.4).

For any W with least margin m > 0 and any dual >= 0: sum(dual) / N_d(sum dual A) <= N* <= N(W) / m. Each of
these quantities is replaced by a bound that holds in exact arithmetic, over every constraint, for the exact
token differences x_selected - x_l of which `Constraints.a` holds the rounded values (docs/svm.md).
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, frozen
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational, sums
from marginflow.svm.proof.equalities import at_zero, distance_up, lengths, onto
from marginflow.svm.scaling.unit_rows import zero_rows
from marginflow.threads import each


@dataclass(frozen=True)
class Certificate:
    """`lower <= N* <= upper`, a statement about real numbers.

    Attributes:
        lower: no W with margins >= 1 has a smaller norm; 0 when the dual proves nothing.
        upper: some W with margins >= 1 has this norm; inf when the weights do not separate.
        margin: a lower bound of the least margin of the weights as they were given.
        binding: the constraint that attains it, -1 without constraints.
    """

    lower: float
    upper: float
    margin: float = field(default=math.inf)
    binding: int = field(default=-1)

    def interval(self, digits: int) -> str:
        """Both bounds in so many digits, rounded outwards: what is printed holds as well."""
        return rounding.interval(self.lower, self.upper, digits)

    @property
    def gap(self) -> float:
        """(upper - lower) / lower, rounded up; 0 for no constraint, inf when either side proves nothing."""
        if self.upper == self.lower:
            return 0.0
        if self.lower <= 0.0 or self.upper == math.inf:
            return math.inf
        return max(0.0, rounding.up((self.upper - self.lower) / self.lower, 2))


@dataclass(frozen=True, eq=False)
class Certified:
    """A certificate and the very weights and multipliers that it was computed from.

    Attributes:
        W: least margin one up to rounding, or between one and two where the rounding of that division would be
            seen in the bound; zero when upper is inf.
        dual: (C,) with N_d(adjoint(dual)) one up to rounding, or a power of two below, likewise.
    """

    certificate: Certificate
    W: Floats
    dual: Floats

    def value(self, svm: Svm) -> float:
        """N(W) at least margin one, within the bounds; nan without weights that separate."""
        c = self.certificate
        if c.upper == math.inf:
            return math.nan
        size = svm.norm.along(lambda: svm.adjoint(self.dual)).value(self.W)
        return min(max(size / c.margin, c.lower), c.upper)


def certify(svm: Svm, W: Floats, dual: Floats, ray: Floats | None = None, *, exact: bool = False) -> Certified:
    """Scale weights and multipliers to stand for themselves, and certify what came out of that.

    Args:
        svm: C constraints and the norm being minimised.
        W: the weights; any positive multiple; non-finite ones prove nothing.
        dual: (C,) any positive multiple; negative ones (of equalities: none) and non-finite entries count as zero.
        ray: (C,) a second candidate; the one with the larger bound is kept.
        exact: as for `evaluate`.
    """
    if not svm.leads.any():
        return Certified(Certificate(0.0, 0.0), np.zeros(svm.shape), np.zeros(len(svm)))
    scaled = _scaled_weights(svm, W, exact)
    multipliers, lower = np.zeros(len(svm)), 0.0
    for guess in (dual, ray):
        if guess is not None:
            found = _scaled_dual(svm, guess, exact)
            bound = _lower(svm, found, exact)
            if bound > lower:
                lower, multipliers = bound, found
    certificate = evaluate(svm, scaled, multipliers, exact=exact, lower=lower)
    if certificate.upper == math.inf:
        scaled = np.zeros(svm.shape)
    return Certified(certificate, frozen(scaled), frozen(multipliers))


def evaluate(svm: Svm, W: Floats, dual: Floats, *, exact: bool = False, lower: float | None = None) -> Certificate:
    """The certificate of weights and multipliers as they are, over every constraint.

    Args:
        svm: C constraints and the norm being minimised.
        W: the weights.
        dual: (C,) multipliers >= 0, those of equalities of any sign.
        exact: sum in rational arithmetic: for small problems only, where rounding would swallow the bounds.
            Otherwise one rounding of every difference is allowed for.
        lower: the lower bound of `dual` where it is known already.
    """
    if not svm.leads.any():
        return Certificate(0.0, 0.0)
    margin, binding, upper = -math.inf, -1, math.inf
    if np.isfinite(W).all() and W.any():
        power = rounding.exponent(W)
        unit = np.ldexp(W, -power)
        sure, moved = leading_margins(svm, unit, exact)
        binding = int(sure.argmin())
        margin = float(sure[binding])
        if margin > 0.0:
            size = svm.norm.along(lambda: svm.adjoint(dual)).value_upper(unit)
            if moved > 0.0:
                size = rounding.up(size + svm.norm.stretch(svm.shape) * moved, 2)
            upper = rounding.up(size / margin)
        margin = _times_power(margin, power)
    return Certificate(_lower(svm, dual, exact) if lower is None else lower, upper, margin, binding)


def assess(svm: Svm, W: Floats, dual: Floats, tol: float) -> Certificate:
    """The certificate that saved and returned solutions carry: rational where float64 misses `tol` and it is cheap."""
    certificate = evaluate(svm, W, dual)
    if certificate.gap > tol and rational.affordable(svm):
        certificate = evaluate(svm, W, dual, exact=True)
    return certificate


def leading_margins(svm: Svm, W: Floats, exact: bool) -> tuple[Floats, float]:
    """(C,) lower bounds of the margins of level 1, inf elsewhere, of weights that meet all the others exactly; and how
    far these are from `W`, Frobenius, at most.
    """
    low = margins_down(svm, W, exact)
    if svm.plain:
        return low, 0.0
    high, size, length = -margins_down(svm, -W, exact), float(np.linalg.norm(W)), lengths(svm)
    chosen, moved = at_zero(svm, low, size, _AT_ZERO), 0.0
    for _ in range(_ROUNDS):
        moved = distance_up(svm, low, high, chosen)
        left = low - np.nextafter(length * moved * (1.0 + _SPARE), math.inf) if moved < math.inf else low - moved
        lacking = (svm.constraints.level == 0.0) & ~chosen & (left < 0.0) & ~zero_rows(svm.constraints, svm.diagonal)
        if not lacking.any():
            return np.where(svm.leads, left - np.abs(left) * (4 * rounding.U), math.inf), moved
        if moved == math.inf:
            break
        chosen = chosen | lacking
    return np.full(len(svm), -math.inf), math.inf


def _lower(svm: Svm, dual: Floats, exact: bool) -> float:
    """A lower bound of N* from `dual` (C,), >= 0 but for equalities."""
    if not dual[svm.leads].any():
        return 0.0
    dual = np.ldexp(dual, -rounding.exponent(dual))
    dual[np.abs(dual) < _NEGLIGIBLE] = 0.0
    M, error = rational.dual_matrix(svm, dual) if exact else dual_matrix(svm, dual)
    total = rounding.sum_down(dual if svm.plain else dual[svm.leads])
    return rounding.down(total / svm.norm.dual_upper(M, error))


def _scaled_weights(svm: Svm, W: Floats, exact: bool) -> Floats:
    """`W` over its least margin; times a power of two where that division costs digits of the margins.

    On equalities it is moved first, as near as float64 comes.
    """
    if not np.isfinite(W).all() or not W.any():
        return np.zeros(svm.shape)
    W = np.ldexp(W, -rounding.exponent(W))
    if not svm.plain:
        W = onto(svm, W)
        if not np.isfinite(W).all() or not W.any():
            return np.zeros(svm.shape)
    if not exact:
        return _at(W, svm.least_margin(W))
    least = float(leading_margins(svm, W, True)[0].min())
    if not least > 0.0:
        return W
    binary, divided = np.ldexp(W, 1 - math.frexp(least)[1]), _at(W, least)
    worse = float(leading_margins(svm, divided, True)[0].min())
    return divided if worse >= 1.0 - _UNSEEN else binary


def _at(W: Floats, size: float) -> Floats:
    """`W` / size, where that is in range."""
    if not size > 0.0:
        return W
    with np.errstate(over="ignore"):
        scaled = W / size
    return scaled if np.isfinite(scaled).all() and scaled.any() else W


def _scaled_dual(svm: Svm, dual: Floats, exact: bool) -> Floats:
    """`dual` without what is negative, negligible or not finite, over the dual norm of its matrix; likewise."""
    dual = np.where(np.isfinite(dual) & ((dual > 0.0) | svm.constraints.equal), dual, 0.0)
    if not dual.any():
        return dual
    dual = np.ldexp(dual, -rounding.exponent(dual))
    dual[np.abs(dual) < _NEGLIGIBLE] = 0.0
    M = rational.dual_matrix(svm, dual)[0] if exact else svm.adjoint(dual)
    size = svm.norm.dual_value(M) * (1.0 + _SPARE)
    divided = _at(dual, size)
    if not exact or divided is dual:
        return divided
    if _lower(svm, divided, True) >= _lower(svm, dual, True) * (1.0 - _UNSEEN):
        return divided
    return np.ldexp(dual, -math.frexp(size)[1])


def _times_power(x: float, power: int) -> float:
    """x 2**power, rounded down where it leaves the range."""
    try:
        out = math.ldexp(x, power)
    except OverflowError:
        return math.copysign(float(np.finfo(float).max) if x > 0.0 else math.inf, x)
    return out if out == 0.0 or abs(out) >= float(np.finfo(float).tiny) else math.nextafter(out, -math.inf)


def margins_down(svm: Svm, W: Floats, exact: bool = False) -> Floats:
    """(C,) lower bounds of the margins of the weights `W`; `exact` as for `certify`."""
    if exact:
        return rational.margins_down(svm, W)
    constraints = svm.constraints
    terms = [constraints.shape[0]] if svm.diagonal else list(constraints.shape)
    relative = rounding.gamma(sum(sums.roundings(k) for k in terms) + 6)
    sure = np.empty(len(svm))

    def see(block: tuple[slice, Floats]) -> None:
        margins, size = _margins(svm, W, *block)
        sure[block[0]] = margins - size * relative

    # Of what is on disk one block at a time is in memory.
    each(see, constraints.blocks(), constraints.a.size if constraints.stored is None else 0)
    sure -= np.abs(sure) * (4 * rounding.U) + rounding.TINY
    return sure


def _margins(svm: Svm, W: Floats, rows: slice, a: Floats) -> tuple[Floats, Floats]:
    """The margins of consecutive rows with differences `a`, and the products |a_c|' |W| |z_i|."""
    sample = svm.constraints.sample[rows]
    first, last = int(sample[0]), int(sample[-1])
    z = svm.constraints.z[first : last + 1]
    if svm.diagonal:
        row = a * z[sample - first]
        weights = np.broadcast_to(W, row.shape)
        return sums.products(row, weights), np.abs(row) @ np.abs(W)
    P, size = sums.matrix_product(z, W.T), np.abs(z) @ np.abs(W).T
    own = sample - first
    return sums.products(a, P[own]), np.vecdot(np.abs(a), size[own])


def dual_matrix(svm: Svm, dual: Floats) -> tuple[Floats, Floats]:
    """The dual matrix and a bound of the error of every entry."""
    constraints = svm.constraints
    support = np.flatnonzero(dual)
    if not len(support):
        return np.zeros(svm.shape), np.full(svm.shape, rounding.TINY)
    weights, sample = dual[support], constraints.sample[support]
    if svm.diagonal:
        rows = constraints.differences(support) * constraints.z[sample]
        M = sums.matrix_product(weights[None, :], rows)[0]
        size, terms = np.abs(weights) @ np.abs(rows), sums.roundings(len(support))
    else:
        starts = sums.runs(sample)
        z = constraints.z[sample[starts]]
        if constraints.stored is None:
            numbers = len(support) * constraints.shape[0]
            totals = sums.run_sums(weights, starts, lambda part: constraints.a[support[part]], numbers=numbers)
        else:  # read once
            totals = sums.run_sums(weights, starts, constraints.differences(support).__getitem__)
        pulled, sizes = totals
        M = sums.matrix_product(pulled.T, z)
        size = sums.matrix_product(sizes.T, np.abs(z))
        terms = min(len(support), sums.BLOCK) + sums.roundings(len(starts))
    # Zero multipliers add exact zeros, so only the support counts; both factors carry one rounding more.
    return M, rounding.up(1.0, 2 * len(support)) * size * rounding.gamma(terms + 8) + rounding.TINY


_AT_ZERO: Final = 1e-12
"""Margins of level 0 below this share of what they could be are moved to 0 exactly."""

_ROUNDS: Final = 4

_UNSEEN: Final = 1e-13
"""A relative loss of a bound that is worth having the least margin, or the dual norm, at one."""

_SPARE: Final = 4e-14
"""What the dual norm is kept below one by, so that its own rounding does not carry it above."""

_NEGLIGIBLE: Final = 2.0**-200
"""Multipliers this far below the largest are dropped: they could only underflow."""

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
from marginflow.problem.constraints import Constraints
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational


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
    """A certificate with the weights and multipliers it was computed from, scaled to stand for themselves.

    Attributes:
        W: margins at least 1 up to rounding; zero when upper is inf.
        dual: (C,) with N_d(adjoint(dual)) <= 1, so that its sum is the lower bound.
    """

    certificate: Certificate
    W: Floats
    dual: Floats


def certify(svm: Svm, W: Floats, dual: Floats, ray: Floats | None = None, *, exact: bool = False) -> Certified:
    """Certify weights and multipliers over every constraint.

    Args:
        svm: C constraints and the norm being minimised.
        W: the weights; any positive multiple; non-finite ones prove nothing.
        dual: (C,) any positive multiple; negative or non-finite entries count as zero.
        ray: (C,) a second candidate; the one with the larger bound is kept.
        exact: sum in rational arithmetic: for small problems only, where rounding would swallow the bounds.
            Otherwise one rounding of every difference is allowed for.
    """
    if len(svm) == 0:
        return Certified(Certificate(0.0, 0.0), np.zeros_like(W), np.zeros(0))
    margin, binding, W = _margin(svm, W, exact)
    upper = math.inf
    if margin > 0.0:
        upper = rounding.up(svm.norm.value_upper(W) / margin)
        W = W / margin
    else:
        W = np.zeros_like(W)
    lower, multipliers = 0.0, np.zeros(len(svm))
    for guess in (dual, ray):
        if guess is not None:
            bound, scaled = _lower_bound(svm, guess, exact)
            if bound > lower:
                lower, multipliers = bound, scaled
    certificate = Certificate(lower, upper, margin, binding)
    return Certified(certificate, frozen(W), frozen(multipliers))


def _lower_bound(svm: Svm, dual: Floats, exact: bool) -> tuple[float, Floats]:
    """A lower bound of N* from `dual` (C,), and the multipliers scaled so that their sum is that bound."""
    dual = np.where(np.isfinite(dual) & (dual > 0.0), dual, 0.0)
    largest = float(dual.max(initial=0.0))
    if largest == 0.0:
        return 0.0, dual
    dual = np.ldexp(dual, -rounding.exponent(dual))
    dual[dual < _NEGLIGIBLE] = 0.0
    M, error = rational.dual_matrix(svm, dual) if exact else dual_matrix(svm, dual)
    size = svm.norm.dual_upper(M, error)
    return rounding.down(rounding.sum_down(dual) / size), dual / size


def _margin(svm: Svm, W: Floats, exact: bool) -> tuple[float, int, Floats]:
    """A lower bound of the least margin, its constraint, and `W` scaled by a power of two."""
    if not np.isfinite(W).all() or not W.any():
        return -math.inf, -1, np.zeros_like(W)
    W = np.ldexp(W, -rounding.exponent(W))
    sure = margins_down(svm, W, exact)
    binding = int(sure.argmin())
    return float(sure[binding]), binding, W


def margins_down(svm: Svm, W: Floats, exact: bool = False) -> Floats:
    """(C,) lower bounds of the margins of the weights `W`; `exact` as for `certify`."""
    if exact:
        return rational.margins_down(svm, W)
    constraints = svm.constraints
    d, d_z = constraints.shape
    margins = svm.margins(W)
    if svm.diagonal:
        error = _abs_diagonal(constraints, np.abs(W)) * rounding.gamma(d + 6)
    else:
        error = _abs_margins(constraints, np.abs(W)) * rounding.gamma(d + d_z + 6)
    sure = margins - error
    sure -= np.abs(sure) * (4 * rounding.U) + rounding.TINY
    return sure


def _abs_margins(constraints: Constraints, W: Floats) -> Floats:
    """(C,) the products |a_c|' |W| |z_i|, in slices so that no second copy of the constraints is made."""
    P = np.abs(constraints.z) @ W.T
    out = np.empty(len(constraints))
    for rows in _slices(len(out)):
        out[rows] = (np.abs(constraints.a[rows]) * P[constraints.sample[rows]]).sum(axis=1)
    return out


def _abs_diagonal(constraints: Constraints, W: Floats) -> Floats:
    out = np.empty(len(constraints))
    for rows in _slices(len(out)):
        out[rows] = np.abs(constraints.diagonal[rows]) @ W
    return out


def dual_matrix(svm: Svm, dual: Floats) -> tuple[Floats, Floats]:
    """The dual matrix and a bound of the error of every entry."""
    constraints = svm.constraints
    support = np.flatnonzero(dual)
    weights, sample = dual[support, None], constraints.sample[support]
    if svm.diagonal:
        rows = constraints.diagonal[support]
        M = weights[:, 0] @ rows
        size = weights[:, 0] @ np.abs(rows)
        return M, size * rounding.gamma(len(support) + 8) + rounding.TINY
    starts = np.flatnonzero(np.diff(sample, prepend=-1))
    pulled = np.add.reduceat(weights * np.abs(constraints.a[support]), starts, axis=0)
    size = pulled.T @ np.abs(constraints.z[sample[starts]])
    longest = int(np.bincount(constraints.sample).max())
    terms = min(len(support), longest) + len(starts)
    # Zero multipliers add exact zeros, so only the support counts; both factors carry one rounding more.
    return constraints.adjoint(dual), size * rounding.gamma(terms + 8) + rounding.TINY


def _slices(count: int) -> list[slice]:
    return [slice(start, start + _SLICE) for start in range(0, count, _SLICE)]


_SLICE: Final = 4096

_NEGLIGIBLE: Final = 2.0**-200
"""Multipliers this far below the largest are dropped: they could only underflow."""

"""Weights moved exactly onto equalities, and how far that is at most (derived in docs/svm.md, Equalities).

Weights in float64 meet <A_c, W> = 0 up to rounding only, which bounds nothing. The nearest W' that meets them all has
|W' - W|_F^2 = rho' G^-1 rho, rho the margins of independent rows and G their Gram matrix. Rows that depend on others
are left out where exact arithmetic shows that they do; what float64 takes for dependent may not be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpstrf
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from marginflow import rounding
from marginflow.arrays import Bools, Floats, Ints
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.elimination import solve_rational
from marginflow.svm.scaling.unit_rows import zero_rows


def at_zero(svm: Svm, low: Floats, size: float, share: float) -> Bools:
    """(C,) equalities, and rows of level 0 whose margin `low` (C,) is not above `share` of what W of `size` could give.

    A margin of exactly 0 satisfies <A_c, W> >= 0, so whatever belongs here may be moved there.
    """
    constraints = svm.constraints
    near = (constraints.level == 0.0) & (low <= share * size * lengths(svm))
    return np.asarray((constraints.equal | near) & ~zero_rows(constraints, svm.diagonal))


def onto(svm: Svm, W: Floats) -> Floats:
    """`W` with the margins of equalities, and of rows of level 0 that are near 0 or below, at 0 up to rounding."""
    for _ in range(_ROUNDS):
        margins, size = svm.margins(W), float(np.linalg.norm(W))
        chosen = np.flatnonzero(at_zero(svm, margins, size, _NEAR))
        if not len(chosen) or not 0.0 < size < math.inf:
            return W
        W = W - _correction(svm, margins, chosen)
    return W


def distance_up(svm: Svm, low: Floats, high: Floats, chosen: Bools) -> float:
    """How far from W, Frobenius, weights are at most whose margins `chosen` (C,) are 0 exactly.

    Args:
        svm: C constraints.
        low, high: (C,) bounds of the margins of W.
        chosen: none of them a zero row.

    Returns:
        inf where nothing is shown: rows that float64 takes for dependent, and exact arithmetic does not show to be.
    """
    total = 0.0
    for span in _spans(svm, tuple(np.flatnonzero(chosen).tolist())):
        if span.inverse == math.inf:
            return math.inf
        rho = np.maximum(np.abs(low[span.rows]), np.abs(high[span.rows])) / lengths(svm)[span.rows]
        total += rounding.up(rounding.frobenius_up(rho) ** 2 * span.inverse, 32)
    return rounding.up(math.sqrt(total), 8)


def spanning(svm: Svm, chosen: Bools) -> Ints | None:
    """Independent ones of the rows `chosen` (C,) that span them all, exactly; None where that is not shown."""
    spans = _spans(svm, tuple(np.flatnonzero(chosen & ~zero_rows(svm.constraints, svm.diagonal)).tolist()))
    if any(span.inverse == math.inf for span in spans):
        return None
    return np.sort(np.concatenate([span.rows for span in spans])) if spans else np.zeros(0, dtype=np.intp)


def tied(svm: Svm) -> list[Floats]:
    """Candidate proofs that nothing separates, (C,) each: a row of level 1 that float64 takes for a combination of
    equalities, which the margin of 1 and theirs of 0 contradict.
    """
    length, _ = _factors(svm)
    equal = np.flatnonzero(svm.constraints.equal & ~zero_rows(svm.constraints, svm.diagonal))
    found: list[Floats] = []
    leads = np.flatnonzero(svm.leads)
    if len(leads) * len(equal) > _PAIRS:
        return found
    for span in _spans(svm, tuple(equal.tolist())):
        e = len(span.rows)
        both = _gram(svm, np.concatenate((span.rows, leads)))[:e, e:]
        inside = cho_solve(span.factor, both, check_finite=False)
        for k in np.flatnonzero(1.0 - (both * inside).sum(axis=0) <= _DEPENDENT)[:_TRIED]:
            ray = np.zeros(len(svm))
            ray[leads[k]] = 1.0 / length[leads[k]]
            ray[span.rows] = -inside[:, k] / length[span.rows]
            ray[np.abs(ray) <= _NOTHING * np.abs(ray).max()] = 0.0
            found.append(ray)
    return found


def alike(svm: Svm, chosen: Ints, basis: Ints) -> Ints:
    """For each of the rows `chosen` the first of them that differs from it, exactly, by a combination of the equalities
    `basis` only: weights that meet these give both the same margin.
    """
    out = np.array(chosen)
    if not len(basis) or not len(chosen):
        return out
    length, _ = _factors(svm)
    both = np.concatenate((basis, chosen))
    G, e = _gram(svm, both), len(basis)
    inside = np.linalg.solve(G[:e, :e], G[:e, e:])
    left = (G[e:, e:] - G[e:, :e] @ inside) * np.outer(length[chosen], length[chosen])
    size = left.diagonal()
    raw = inside * length[chosen] / length[basis][:, None]
    for c in range(1, len(chosen)):
        apart = size[c] + size[:c] - 2.0 * left[c, :c]
        for k in np.flatnonzero(apart <= _DEPENDENT * length[chosen[c]] ** 2):
            if out[k] != chosen[k]:
                continue
            change = raw[:, c] - raw[:, k]
            used = np.abs(change) > _NOTHING * np.abs(change).max(initial=0.0)
            simple = [Fraction(1), *(Fraction(x).limit_denominator(_SIMPLE) for x in change[used].tolist())]
            if _combines(svm, int(chosen[c]), np.concatenate(([chosen[k]], basis[used])), simple):
                out[c] = chosen[k]
                break
    return out


def lengths(svm: Svm) -> Floats:
    """(C,) |a_c||z_c|, or |a_c o z_c|, to a few roundings; 1 for zero rows."""
    return _factors(svm)[0]


@lru_cache(maxsize=8)
def _factors(svm: Svm) -> tuple[Floats, tuple[Floats, ...]]:
    """The lengths of the rows and their factors of length one."""
    rows = svm.constraints
    factors = (rows.diagonal,) if svm.diagonal else (rows.a, rows.queries)
    length, units = np.ones(len(rows)), []
    for factor in factors:
        largest = np.maximum(np.abs(factor).max(axis=1, initial=0.0), 1e-300)
        own = np.linalg.norm(factor / largest[:, None], axis=1) * largest
        own[own == 0.0] = 1.0
        units.append(factor / own[:, None])
        length = length * own
    return length, tuple(units)


@dataclass(frozen=True, eq=False)
class _Span:
    """Independent rows that span some of the equalities, whose queries meet those of no others.

    Attributes:
        rows: their indices.
        inverse: a bound of |G^-1|, G the Gram matrix of these rows at length one; inf where it is not shown that they
            are independent and span all.
        factor: the Cholesky factor of G, for corrections that need no proof.
    """

    rows: Ints
    inverse: float
    factor: tuple[Floats, bool]


@lru_cache(maxsize=16)
def _spans(svm: Svm, chosen: tuple[int, ...]) -> tuple[_Span, ...]:
    """The rows `chosen`, in groups that share no coordinate of the queries (of the weights, for diagonal ones)."""
    index = np.array(chosen, dtype=np.intp)
    rows = svm.constraints
    seen = csr_array((rows.diagonal if svm.diagonal else rows.queries)[index] != 0.0)
    _, label = connected_components(csr_array(seen @ seen.T), directed=False)
    return tuple(_span(svm, index[label == k]) for k in range(int(label.max(initial=-1)) + 1))


def _span(svm: Svm, chosen: Ints) -> _Span:
    G = _gram(svm, chosen)
    _, order, rank, _ = dpstrf(G, tol=_DEPENDENT)
    keep = np.sort(order[:rank] - 1)
    J, rest = chosen[keep], np.setdiff1d(chosen, chosen[keep])
    K = G[np.ix_(keep, keep)]
    factor = cho_factor(K, lower=True, check_finite=False)
    inverse = _inverse_up(svm, K)
    if inverse < math.inf and len(rest):
        inside = cho_solve(factor, G[np.ix_(keep, np.searchsorted(chosen, rest))], check_finite=False)
        if not all(_depends(svm, int(row), J, c) for row, c in zip(rest, inside.T, strict=True)):
            inverse = math.inf
    return _Span(J, inverse, factor)


def _gram(svm: Svm, chosen: Ints) -> Floats:
    G = np.ones((len(chosen), len(chosen)))
    for unit in _factors(svm)[1]:
        G *= unit[chosen] @ unit[chosen].T
    return G


def _inverse_up(svm: Svm, G: Floats) -> float:
    """A bound of |G^-1| for the exact Gram matrix, `G` as computed: |Y|_inf / (1 - |I - G Y|_inf)."""
    k = len(G)
    Y = np.linalg.inv(G)
    if not np.isfinite(Y).all():
        return math.inf
    # An entry carries the roundings of two inner products, of unit factors and of a_c being a rounded difference.
    entry = rounding.gamma(sum(svm.constraints.shape) + 32) * 1.01
    size = np.abs(Y)
    off = np.abs(np.eye(k) - G @ Y) + rounding.gamma(k + 4) * (np.abs(G) @ size + 1.0)
    off += entry * size.sum(axis=0)
    alpha = rounding.up(float(off.sum(axis=1).max()), k + 8)
    return rounding.up(float(size.sum(axis=1).max()) / (1.0 - alpha), k + 8) if alpha < 0.5 else math.inf


def _correction(svm: Svm, margins: Floats, chosen: Ints) -> Floats:
    """What to take from W for its `margins` of the rows `chosen` to vanish, to a few roundings."""
    dual = np.zeros(len(svm))
    length = lengths(svm)
    for span in _spans(svm, tuple(chosen.tolist())):
        rho = margins[span.rows] / length[span.rows]
        dual[span.rows] = cho_solve(span.factor, rho, check_finite=False) / length[span.rows]
    return svm.adjoint(dual)


def _depends(svm: Svm, row: int, J: Ints, guess: Floats) -> bool:
    """Whether the exact row is a combination of the exact rows J, with simple coefficients near `guess` or others."""
    length = lengths(svm)
    guess = guess * length[row] / length[J]
    near = np.abs(guess) > _NOTHING * np.abs(guess).max(initial=0.0)
    used = J[near]
    simple = [Fraction(x).limit_denominator(_SIMPLE) for x in guess[near].tolist()]
    if _combines(svm, row, used, simple):
        return True
    if len(used) > _SOLVED:
        return False
    lines = _lines(svm, row, used)
    gram = [[_dot(p, q) for q in lines[1:]] for p in lines[1:]]
    exact = solve_rational(gram, [_dot(p, lines[0]) for p in lines[1:]])
    return exact is not None and _is_sum(lines, exact)


def _combines(svm: Svm, row: int, used: Ints, coefficients: Sequence[Fraction]) -> bool:
    return _is_sum(_lines(svm, row, used), coefficients)


def _is_sum(lines: Sequence[Sequence[Fraction]], coefficients: Sequence[Fraction]) -> bool:
    """Whether the first line is the combination of the others."""
    return all(
        x == sum((c * line[j] for c, line in zip(coefficients, lines[1:], strict=True)), Fraction(0))
        for j, x in enumerate(lines[0])
    )


def _lines(svm: Svm, row: int, used: Ints) -> list[Sequence[Fraction]]:
    """The exact rows `row` and `used`; of one query all, only the differences of tokens."""
    index = np.concatenate(([row], used))
    queries = svm.constraints.z[svm.constraints.sample[index]]
    if not svm.diagonal and (queries == queries[0]).all():
        return list(rational.differences(svm.constraints.a[index], None if svm.slip is None else svm.slip[index]))
    return list(rational.rows(svm, index))


def _dot(x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    return sum((p * q for p, q in zip(x, y, strict=True)), Fraction(0))


_ROUNDS: Final = 3

_TRIED: Final = 3
_PAIRS: Final = 2_000_000
"""Most rows of level 1 tried as combinations of equalities, and most inner products for it."""

_NEAR: Final = 1e-9
"""Margins of level 0 below this share of what they could be are moved to 0."""

_DEPENDENT: Final = 1e-12
"""What is left of a row's square, beyond the others, below which it counts as dependent until shown to be."""

_NOTHING: Final = 1e-7
_SIMPLE: Final = 1000
"""Coefficients below this share of the largest are taken for 0; the largest denominator of the others tried first."""

_SOLVED: Final = 32
"""Most rows of a combination solved for in rational numbers."""

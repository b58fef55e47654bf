"""Proofs that no weights separate: lambda >= 0, free on equalities, with sum_c lambda_c A_c = 0 exactly, not all zero
on the constraints of level 1.

Float multipliers satisfy that up to rounding, which excludes only W of moderate norm. Two ways lead on to a
theorem about the constraints as stored (docs/svm.md): solve for the multipliers in rational numbers, or show
that exact ones exist near the float ones because the rows span the whole space, by a pseudo-inverse or, of more rows,
a Gram matrix.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats, Ints, starts_of_runs
from marginflow.svm import sentences
from marginflow.svm.program import Svm
from marginflow.svm.proof import simplex, sums
from marginflow.svm.proof.full_rank import exact_ones_near


@dataclass(frozen=True, eq=False)
class Farkas:
    """A proof of infeasibility: multipliers (C,) of sum 1, and the sentence that says what they show.

    They are >= 0, of any sign on equalities, and count there for the sum by size.
    """

    multipliers: Floats
    sentence: str


def prove(svm: Svm, ray: Floats) -> Farkas | None:
    """Turn a candidate `ray` (C,) into a proof, or return None: the data may then still be feasible."""
    ray = np.where(np.isfinite(ray) & ((ray > 0.0) | svm.constraints.equal), ray, 0.0)
    if not ray[svm.leads].any():
        return None
    if svm.zero_row is not None:
        return _zero(svm, svm.zero_row) if ray[svm.zero_row] == ray.max() else None
    ray = ray / np.abs(ray).max()
    for support, M in _systems(svm, ray):
        if not ray[support][svm.leads[support]].any():
            continue
        weights = ray[support] / np.abs(ray[support]).sum()
        # Few constraints: rational arithmetic is quick. Many: the cheap proof first.
        if len(support) > _QUICK and _near(M, weights, svm.constraints.equal[support]):
            return _farkas(svm, support, weights, sentences.NEARBY)
        exact = _rational(svm, support, weights)
        if exact is not None:
            return _farkas(svm, support, exact, sentences.EXACTLY)
    if exact_ones_near(svm, ray):
        support = np.flatnonzero(ray)
        return _farkas(svm, support, ray[support], sentences.NEARBY)
    return None


def _zero(svm: Svm, row: int) -> Farkas:
    sample, token = int(svm.constraints.sample[row]), int(svm.constraints.token[row])
    multipliers = np.zeros(len(svm))
    multipliers[row] = 1.0
    return Farkas(multipliers, sentences.LEVEL.format(token=token, sample=sample))


def _farkas(svm: Svm, support: Ints, weights: Floats, how: str) -> Farkas:
    multipliers = np.zeros(len(svm))
    multipliers[support] = weights / np.abs(weights).sum()
    count = int((multipliers != 0.0).sum())
    equal = svm.constraints.equal[support].any()
    multiples = sentences.FREE_ON_EQUALITIES if equal else sentences.POSITIVE
    return Farkas(multipliers, sentences.CONTRADICTION.format(count=count, multiples=multiples, how=how))


def _systems(svm: Svm, ray: Floats) -> list[tuple[Ints, list[Floats]]]:
    """The equations to satisfy, as pairs (support, factors of M): M lambda = 0, cheapest first.

    A contradiction inside one sample needs only sum lambda_c a_c = 0 there: d equations instead of d d_z.
    """
    constraints = svm.constraints
    found: list[tuple[Ints, list[Floats]]] = []
    if not svm.diagonal:
        found += [(inside, [constraints.a[inside].T]) for inside in _cancelling_samples(svm, ray)]
    # What a multiplier moves is its row times it: long rows have small ones. Small shares are mostly a solver's noise,
    # but those of an exact proof may be as small.
    moved = np.abs(ray) * svm.rows.scale.size
    noise = moved <= 1e-12 * moved.max()
    for support in (np.flatnonzero(~noise), np.flatnonzero(moved > 0.0))[: 2 if (moved[noise] > 0.0).any() else 1]:
        a, z = constraints.a[support], constraints.z[constraints.sample[support]]
        if svm.diagonal:
            found.append((support, [a.T, z.T]))
        elif len(support) * a.shape[1] * z.shape[1] <= _ENTRIES:
            found.append((support, [np.repeat(a.T, z.shape[1], axis=0), np.tile(z.T, (a.shape[1], 1))]))
    return found


def _cancelling_samples(svm: Svm, ray: Floats) -> list[Ints]:
    """The constraints with multipliers of every sample whose part of the sum nearly vanishes by itself."""
    some = np.flatnonzero(ray)
    starts = starts_of_runs(svm.constraints.sample[some])
    ends, a = np.append(starts[1:], len(some)), svm.constraints.a[some]
    left, size = (np.abs(total).sum(axis=1) for total in sums.run_sums(ray[some], starts, a.__getitem__))
    return [some[starts[k] : ends[k]] for k in np.flatnonzero(left <= 1e-7 * size)]


def _rational(svm: Svm, support: Ints, weights: Floats) -> Floats | None:
    """Exact multipliers of the constraints `support`, those of large `weights` solved for; rounded for the reader."""
    if len(support) > simplex.LARGEST:
        return None
    exact = simplex.decide(svm.restrict(support), np.abs(weights) * svm.rows.scale.size[support])
    if exact is None or exact.multipliers is None:
        return None
    return np.array([float(value) for value in exact.multipliers])


def _near(factors: list[Floats], weights: Floats, free: Bools | bool = False) -> bool:
    """Whether M lambda = 0 has a solution within `weights` of `weights`, shown with all rounding bounded.

    Where `free`, multipliers may be anything.

    With X near the pseudo-inverse of M and alpha = |I - M X|_inf < 1, the correction d = -X (M X)^-1 M lambda
    makes lambda + d exact, and |d_c| <= sum_k |X_ck| |M lambda|_inf / (1 - alpha).
    """
    M = np.prod(factors, axis=0)
    rows, columns = M.shape
    if columns <= rows or M.size > _ENTRIES or not M.any():
        return False
    M = M / np.abs(M).max()
    X = np.linalg.pinv(M)
    # One rounding for the product in M, one for its scaling, one for a itself being a rounded difference.
    unit = rounding.gamma(columns + 6)
    slip = np.abs(np.eye(rows) - M @ X) + unit * (np.abs(M) @ np.abs(X) + 1.0)
    alpha = rounding.up(float(slip.sum(axis=1).max()), rows)
    if not alpha < 0.5:
        return False
    residual = np.abs(M @ weights) + unit * (np.abs(M) @ np.abs(weights)) + rounding.TINY
    shift = np.abs(X).sum(axis=1) * (rounding.up(float(residual.max()), columns + 4) / (1.0 - alpha))
    return bool((free | (shift * (1.0 + rounding.gamma(rows + 8)) < weights)).all())


_QUICK: Final = 16

_ENTRIES: Final = 2_000_000

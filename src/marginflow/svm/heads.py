"""Several heads: each solves its own SVM; the values combine as norms of block-diagonal W do (docs/svm.md, Heads)."""

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, frozen
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, combined_down, combined_up
from marginflow.problem.constraints import Constraints
from marginflow.svm.optimum.rank import Rank
from marginflow.svm.optimum.uniqueness import Uniqueness
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.certificate import Certificate
from marginflow.svm.proof.status import read
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution


SHARE: Final = 0.9
"""Of the tolerance, what each head is solved to: the gap of all is at most the largest of theirs, up to rounding."""


def exponent(norm: AbstractNorm) -> float:
    """The p of N(W) = (sum_h N(W_h)^p)^(1/p), W block-diagonal.

    Raises:
        InputError: a norm that says none.
    """
    if norm.across is None:
        raise InputError(
            f"{norm.name}: got several heads; expected a norm that is known of block-diagonal weights, such as nuclear "
            "or frobenius; or solve the constraints of each head by themselves (constraints.per_head)"
        )
    return norm.across


@dataclass(frozen=True, eq=False)
class Asked:
    """What a solution answers.

    Attributes:
        constraints, norm: the programme.
        tol: the certified relative gap asked for.
        source: the fields of `Solution` that say where the constraints and the search for the answer come from.
    """

    constraints: Constraints
    norm: AbstractNorm
    tol: float
    source: dict[str, Any]

    def of_head(self, constraints: Constraints) -> "Asked":
        """The same of one head, with its own `constraints`."""
        return replace(self, constraints=constraints)


def combine(asked: Asked, parts: list[Solution]) -> Solution:
    """The solution of all H heads from those of each, `parts`; what it claims is computed from what it returns."""
    constraints, norm = asked.constraints, asked.norm
    iterations: dict[str, int] = {}
    for part in parts:
        for stage, steps in part.iterations.items():
            iterations[stage] = iterations.get(stage, 0) + steps
    W = np.stack([part.W for part in parts])
    failed = next((h for h, part in enumerate(parts) if part.status is SvmStatus.infeasible), None)
    if failed is not None:
        weights = np.zeros(len(parts))
        weights[failed] = 1.0
        return stated(asked, 0.0 * W, _scaled(constraints, parts, weights), iterations)
    shares = _shares([part.certificate.lower for part in parts], exponent(norm))
    found = stated(asked, W, _scaled(constraints, parts, shares), iterations)
    if found.status is SvmStatus.inaccurate and all(part.status is SvmStatus.optimal for part in parts):
        # Multipliers of data that nearly contradict each other bear no rounding: powers of two alone.
        binary = np.exp2(np.round(np.log2(shares)))
        found = stated(asked, W, _scaled(constraints, parts, binary), iterations)
    return found


def stated(asked: Asked, W: Floats, dual: Floats, iterations: dict[str, int]) -> Solution:
    """What W (d, d_z) and dual (C,) prove; of W (H, d, d_z) head by head and together."""
    constraints, norm, tol = asked.constraints, asked.norm, asked.tol
    if constraints.heads == 1:
        return _one(asked, W, dual, iterations)
    parts = tuple(
        _one(asked.of_head(own), w, dual[rows], {}) for (rows, own), w in zip(constraints.per_head, W, strict=True)
    )
    certificate = _certificate(constraints, norm, parts)
    value = math.nan
    if certificate.upper < math.inf:
        joint = combined_up([part.value for part in parts], exponent(norm))
        value = min(max(joint, certificate.lower), certificate.upper)
    status, reason = SvmStatus.optimal, ""
    failed = next((h for h, part in enumerate(parts) if part.status is SvmStatus.infeasible), None)
    if failed is not None:
        status, reason = SvmStatus.infeasible, f"head {failed}: {parts[failed].reason}"
    elif not certificate.gap <= tol:
        worst = max(range(len(parts)), key=lambda h: parts[h].certificate.gap)
        status, reason = SvmStatus.inaccurate, f"head {worst}: {parts[worst].reason}"
    return Solution(
        constraints=constraints,
        norm=norm,
        W=frozen(W),
        dual=frozen(dual),
        value=value,
        certificate=certificate,
        status=status,
        reason=reason,
        tol=tol,
        iterations=iterations,
        parts=parts,
        **asked.source,
    )


def uniqueness(solution: Solution) -> Uniqueness:
    """Whether the heads' optima are the only ones: for norms that add up, whether each is."""
    parts, p = solution.parts, exponent(solution.norm)
    if p == math.inf:
        largest = max(part.certificate.lower for part in parts)
        # A head without weights has none to lengthen.
        shorter = [h for h, part in enumerate(parts) if 0.0 < part.certificate.upper < largest]
        loose = shorter[0] if shorter else None
        if loose is not None:
            longer = parts[loose].W * (largest / parts[loose].certificate.upper)
            other = np.array(solution.W)
            other[loose] = longer
            distance = float(np.linalg.norm(longer - parts[loose].W) / np.linalg.norm(solution.W))
            sentence = f"distance over |W|_F of two optima: head {loose} may be longer, another one is longest"
            return Uniqueness(False, distance, sentence, (solution.W, other))
        return Uniqueness(None, math.nan, "several heads may be the longest one, and the others are free below it")
    each = [part.uniqueness for part in parts]
    for h, own in enumerate(each):
        if own.unique is False:
            pair = [np.array(solution.W) for _ in own.optima]
            for whole, w in zip(pair, own.optima, strict=True):
                whole[h] = w
            return Uniqueness(False, own.number, f"head {h}: {own.sentence}", tuple(pair))
    for h, own in enumerate(each):
        if own.unique is None:
            return Uniqueness(None, own.number, f"head {h}: {own.sentence}")
    worst = max(range(len(each)), key=lambda h: each[h].number if solution.norm.strictly_convex else -each[h].number)
    return Uniqueness(True, each[worst].number, f"head {worst}: {each[worst].sentence}")


def rank_of(solution: Solution) -> Rank:
    """The rank of the block-diagonal W: the sum of the heads' ranks."""
    each = [part.rank_evidence for part in solution.parts]
    least, most = sum(own.at_least for own in each), sum(own.at_most for own in each)
    kept = float(np.nanmin([own.kept for own in each] + [math.inf]))
    dropped = max(own.dropped for own in each)
    if exponent(solution.norm) == math.inf:
        most = sum(min(part.constraints.shape) for part in solution.parts)
        return Rank(None, 0, most, math.nan, math.nan, "heads below the longest one are free")
    ranks = [own.rank for own in each]
    if None in ranks:
        return Rank(None, least, most, kept, dropped, f"undecided for head {ranks.index(None)}")
    return Rank(sum(r for r in ranks if r is not None), least, most, kept, dropped, f"the sum of the heads' {ranks}")


def _one(asked: Asked, W: Floats, dual: Floats, iterations: dict[str, int]) -> Solution:
    source = asked.source
    tokens = rational.tokens_of(source.get("problem"), source.get("selection"))
    svm = Svm(asked.constraints, asked.norm, tokens)
    found = read(svm, asked.tol, frozen(svm.weights(W)), frozen(dual))
    certified = found.certified
    return Solution(
        constraints=svm.constraints,
        norm=svm.norm,
        W=frozen(W),
        dual=frozen(dual),
        value=certified.value(svm),
        certificate=certified.certificate,
        status=found.status,
        reason=found.reason,
        tol=asked.tol,
        iterations=iterations,
        **source,
    )


def _scaled(constraints: Constraints, parts: list[Solution], shares: Floats) -> Floats:
    """(C,) the multipliers of each head times its share."""
    dual = np.zeros(len(constraints))
    for (rows, _), part, share in zip(constraints.per_head, parts, shares, strict=True):
        dual[rows] = share * part.dual
    return dual


def _shares(lower: list[float], p: float) -> Floats:
    """(H,) what makes the multipliers of the heads, each of dual norm 1, those of all: mu_h = (D_h / D)^(p - 1).

    They attain D = |(D_h)|_p = max sum mu_h D_h over |mu|_q <= 1. Under a maximum only the longest head has a share;
    the others keep a trace, from which their own bounds can be read.
    """
    bounds = np.array(lower)
    if p == 1.0 or not bounds.any():
        return np.ones(len(bounds))
    if p == math.inf:
        shares = np.full(len(bounds), _TRACE)
        shares[int(bounds.argmax())] = 1.0
        return shares
    return np.asarray(np.maximum((bounds / combined_down(lower, p)) ** (p - 1.0), _TRACE))


def _certificate(constraints: Constraints, norm: AbstractNorm, parts: tuple[Solution, ...]) -> Certificate:
    """Bounds of |(N_h)|_p from those of each N_h: the heads share no constraint, so each may be as short as it can."""
    p = exponent(norm)
    each = [part.certificate for part in parts]
    lowest = min(range(len(each)), key=lambda h: each[h].margin)
    rows = constraints.per_head[lowest][0]
    return Certificate(
        combined_down([own.lower for own in each], p),
        combined_up([own.upper for own in each], p),
        each[lowest].margin,
        int(rows[each[lowest].binding]) if each[lowest].binding >= 0 else -1,
    )


_TRACE: Final = 2.0**-80
"""The share of a head that has none: nothing beside 1, and a power of two."""

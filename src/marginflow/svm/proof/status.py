"""What weights and multipliers prove, sharpened where rounding alone stands in the way, in a word and a sentence.

Word and sentence are functions of the problem, the tolerance and the arrays returned: whoever reads the arrays from
a file comes to the same ones (`files.py`), and no solver has a say.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, frozen
from marginflow.svm import sentences
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.proof import full_rank, rational
from marginflow.svm.proof.certificate import Certificate, Certified, assess, certify, evaluate
from marginflow.svm.proof.farkas import prove
from marginflow.svm.proof.lift_margins import lift_margins
from marginflow.svm.proof.separable import PROGRAM, separability_of
from marginflow.svm.proof.svm_status import SvmStatus


@dataclass(frozen=True, eq=False)
class Answer:
    """What is returned and saved: arrays with their certificate, and what that proves."""

    certified: Certified
    status: SvmStatus
    reason: str


def answer(svm: Svm, tol: float, candidate: Candidate) -> Answer:
    """What `candidate` proves, after sharpening it or replacing it by a proof of infeasibility."""
    certified = certify(svm, candidate.W, candidate.dual, candidate.ray)
    if certified.certificate.gap > tol:
        certified = _lifted(svm, certified)
    if certified.certificate.gap <= tol:
        return _stated(svm, tol, certified)
    return _sharpened(svm, tol, candidate, certified)


def read(svm: Svm, tol: float, W: Floats, dual: Floats) -> Answer:
    """What the arrays of a file prove, as they are."""
    return _stated(svm, tol, Certified(assess(svm, W, dual, tol), W, dual))


def _stated(svm: Svm, tol: float, certified: Certified) -> Answer:
    certificate = certified.certificate
    if certificate.gap <= tol:
        return Answer(certified, SvmStatus.optimal, "")
    if certificate.upper == math.inf:
        proof = prove(*_on_support(svm, certified.dual))
        if proof is not None:
            return Answer(certified, SvmStatus.infeasible, proof.sentence)
    return Answer(certified, SvmStatus.inaccurate, _why_inaccurate(svm, tol, certified))


def _on_support(svm: Svm, dual: Floats) -> tuple[Svm, Floats]:
    """What a proof of infeasibility reads: of tokens that are not in memory the constraints with multipliers alone."""
    if svm.constraints.stored is None:
        return svm, dual
    support = np.flatnonzero(dual)
    return svm.restrict(support), dual[support]


def _sharpened(svm: Svm, tol: float, candidate: Candidate, certified: Certified) -> Answer:
    """Whatever there is against a gap above `tol`: proofs of infeasibility, rational sums, other weights."""
    proof = _contradiction(svm, certified.dual) if certified.certificate.upper == math.inf else None
    if proof is not None:
        return proof
    if rational.affordable(svm):
        # Data that nearly contradict each other: rounding alone may be what keeps the bounds apart.
        certified = certify(svm, candidate.W, candidate.dual, candidate.ray, exact=True)
        if certified.certificate.gap > tol:
            certified = _lifted(svm, certified, exact=True)
    if certified.certificate.upper == math.inf and not _out_of_reach(svm, certified.certificate):
        found = separability_of(svm)
        if found.farkas is not None:
            proof = _contradiction(svm, found.farkas)
            if proof is not None:
                return proof
        if found.W is not None:
            certified = certify(svm, found.W, certified.dual, exact=rational.affordable(svm))
    return read(svm, tol, certified.W, certified.dual)


def _out_of_reach(svm: Svm, certificate: Certificate) -> bool:
    """Whether another search is in vain: weights so long have no certain margins in float64, and there are too many of
    them for a linear program or for a Gram matrix that proves a contradiction.
    """
    weights = math.prod(svm.shape)
    if svm.constraints.stored is not None or weights <= full_rank.LARGEST or len(svm) * weights <= PROGRAM:
        return False
    return certificate.lower * svm.rows.scale.unit > _LOST * float(svm.rows.h.max())


def _contradiction(svm: Svm, ray: Floats) -> Answer | None:
    """The multipliers of a proof, where `ray` leads to one that they lead to again when read from a file."""
    first = prove(svm, ray)
    second = None if first is None else prove(svm, first.multipliers)
    if first is None or second is None:
        return None
    # Powers of two alone: a division would round what cancels exactly.
    dual = np.ldexp(first.multipliers, -rounding.exponent(first.multipliers))
    none = np.zeros(svm.shape)
    certificate = evaluate(svm, none, dual, exact=rational.affordable(svm))
    return Answer(Certified(certificate, frozen(none), frozen(dual)), SvmStatus.infeasible, second.sentence)


def _lifted(svm: Svm, certified: Certified, *, exact: bool = False) -> Certified:
    """The certificate with single lacking margins lifted, where that brings the upper bound down."""
    if certified.certificate.upper == math.inf or certified.certificate.lower == 0.0:
        return certified
    W = lift_margins(svm, certified.W, certified.dual, exact=exact)
    if W is None:
        return certified
    better = certify(svm, W, certified.dual, exact=exact)
    return better if better.certificate.gap < certified.certificate.gap else certified


def _why_inaccurate(svm: Svm, tol: float, certified: Certified) -> str:
    certificate = certified.certificate
    if certificate.upper == math.inf:
        sentence = sentences.OPEN
        open_yet = svm.constraints.stored is None and not _out_of_reach(svm, certificate)
        if open_yet and separability_of(svm).separable:
            sentence = sentences.ONLY_RATIONAL
        elif svm.constraints.equal.any():
            sentence = sentences.OPEN_ON_EQUALITIES
        return sentence.format(below=rounding.text_down(certificate.lower, 6))
    if certificate.lower == 0.0:
        return sentences.UNBOUNDED
    gap = rounding.text_up(certificate.gap, 3)
    size = svm.norm.dual_value(svm.adjoint(certified.dual))
    total = float(certified.dual[svm.leads].sum())
    plain = svm.norm.value(certified.W) * size / (total * certificate.margin) - 1.0 if total else math.inf
    if plain <= max(tol, 1e-14):
        if certificate.gap > 1e-12:
            return sentences.NEARLY_CONTRADICTING.format(plain=rounding.text_up(max(plain, 0.0), 3), gap=gap)
        return sentences.NEAREST.format(gap=gap)
    return sentences.STOPPED.format(gap=gap, tol=f"{tol:g}")


_LOST: Final = 1e12
"""Norms of scaled weights, over the largest right-hand side, whose margins are rounding (gamma(80) is 1e-14)."""

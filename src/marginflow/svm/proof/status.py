"""What a certificate proves, sharpened where rounding alone stands in the way, and said in words."""

import math

from marginflow.arrays import Floats
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.certificate import Certified, certify
from marginflow.svm.proof.lift_margins import lift_margins
from marginflow.svm.proof.svm_status import SvmStatus


def judge(svm: Svm, tol: float, candidate: Candidate, certified: Certified) -> tuple[Certified, SvmStatus, str]:
    """What the certificate proves, after sharpening it or replacing it by a proof of infeasibility."""
    if certified.certificate.gap > tol:
        certified = _lifted(svm, certified)
    if certified.certificate.gap <= tol:
        return certified, SvmStatus.optimal, ""
    proof = _contradiction(svm, certified)
    if proof is not None:
        return proof
    if rational.affordable(svm):
        # Data that nearly contradict each other: rounding alone may be what keeps the bounds apart.
        certified = certify(svm, candidate.W, candidate.dual, candidate.ray, exact=True)
        if certified.certificate.gap > tol:
            certified = _lifted(svm, certified, exact=True)
        if certified.certificate.gap <= tol:
            return certified, SvmStatus.optimal, ""
    if certified.certificate.upper == math.inf:
        return _without_weights(svm, certified)
    return certified, SvmStatus.inaccurate, _why_inaccurate(svm, certified, tol)


def _lifted(svm: Svm, certified: Certified, *, exact: bool = False) -> Certified:
    """The certificate with single lacking margins lifted, where that brings the upper bound down."""
    if certified.certificate.upper == math.inf or certified.certificate.lower == 0.0:
        return certified
    W = lift_margins(svm, certified.W, certified.dual, exact=exact)
    if W is None:
        return certified
    better = certify(svm, W, certified.dual, exact=exact)
    return better if better.certificate.gap < certified.certificate.gap else certified


def _contradiction(svm: Svm, certified: Certified) -> tuple[Certified, SvmStatus, str] | None:
    """The multipliers of a solver that found no weights, made into a proof where they are one."""
    if certified.certificate.upper < math.inf:
        return None
    from marginflow.svm.proof.farkas import prove

    found = prove(svm, certified.dual)
    if found is None:
        return None
    proof = certify(svm, certified.W, certified.dual, found.multipliers)
    return proof, SvmStatus.infeasible, found.sentence


def _without_weights(svm: Svm, certified: Certified) -> tuple[Certified, SvmStatus, str]:
    """No separating weights came back: prove that there are none, or find some."""
    from marginflow.svm.proof.separable import separability

    found = separability(svm.constraints, svm.diagonal)
    if found.separable:
        rescued = certify(svm, _weights(found.W), certified.dual)
        return rescued, SvmStatus.inaccurate, "only a separating W that need not be near the least was found"
    if found.separable is None:
        return (
            certified,
            SvmStatus.inaccurate,
            (f"no separating W was found and none is excluded; none has norm below {certified.certificate.lower:.6g}"),
        )
    proof = certify(svm, certified.W, certified.dual, found.farkas)
    return proof, SvmStatus.infeasible, found.proof


def _weights(W: Floats | None) -> Floats:
    assert W is not None
    return W


def _why_inaccurate(svm: Svm, certified: Certified, tol: float) -> str:
    gap = certified.certificate.gap
    size = svm.norm.dual_value(svm.adjoint(certified.dual))
    plain = svm.norm.value(certified.W) * size / float(certified.dual.sum()) - 1.0 if size else math.inf
    if plain <= max(tol, 1e-14):
        return (
            f"the bounds meet to {max(plain, 0.0):.1e} before rounding and to {gap:.1e} with it: "
            "this is what float64 can prove about constraints so nearly contradicting each other"
            if gap > 1e-12
            else f"the bounds meet to {gap:.1e}, which is as near as float64 brings them"
        )
    return f"the solver stopped at a certified gap of {gap:.1e} where {tol:.1e} was asked"

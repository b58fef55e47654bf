"""What a certificate proves, sharpened where rounding alone stands in the way, and said in words."""

import math
from typing import Any

from marginflow.arrays import Floats
from marginflow.norms import AbstractNorm
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.proof import rational
from marginflow.svm.proof.certificate import Certified, certify
from marginflow.svm.proof.lift_margins import mended
from marginflow.svm.proof.svm_status import SvmStatus


def judge(
    constraints: Constraints,
    norm: AbstractNorm,
    tol: float,
    candidate: Candidate,
    certified: Certified,
    source: dict[str, Any],
) -> tuple[Certified, SvmStatus, str]:
    """What the certificate proves, after sharpening it or replacing it by a proof of infeasibility."""
    if certified.certificate.gap > tol:
        certified = _mended(constraints, norm, certified)
    if certified.certificate.gap <= tol:
        return certified, SvmStatus.optimal, ""
    proof = _contradiction(constraints, norm, certified)
    if proof is not None:
        return proof
    if rational.affordable(constraints, norm.diagonal):
        # Data that nearly contradict each other: rounding alone may be what keeps the bounds apart.
        slip = rational.slip(constraints, source.get("problem"), source.get("selection"))
        certified = certify(constraints, norm, candidate.W, candidate.dual, candidate.ray, slip=slip, exact=True)
        if certified.certificate.gap > tol:
            certified = _mended(constraints, norm, certified, slip=slip, exact=True)
        if certified.certificate.gap <= tol:
            return certified, SvmStatus.optimal, ""
    if certified.certificate.upper == math.inf and not candidate.interrupted:
        return _without_weights(constraints, norm, certified)
    return certified, SvmStatus.inaccurate, _why_inaccurate(constraints, norm, certified, tol, candidate)


def _mended(
    constraints: Constraints,
    norm: AbstractNorm,
    certified: Certified,
    *,
    slip: Floats | None = None,
    exact: bool = False,
) -> Certified:
    """The certificate with single lacking margins lifted, where that brings the upper bound down."""
    if certified.certificate.upper == math.inf or certified.certificate.lower == 0.0:
        return certified
    W = mended(constraints, norm, certified.W, certified.dual, slip=slip, exact=exact)
    if W is None:
        return certified
    better = certify(constraints, norm, W, certified.dual, slip=slip, exact=exact)
    return better if better.certificate.gap < certified.certificate.gap else certified


def _contradiction(
    constraints: Constraints, norm: AbstractNorm, certified: Certified
) -> tuple[Certified, SvmStatus, str] | None:
    """The multipliers of a solver that found no weights, made into a proof where they are one."""
    if certified.certificate.upper < math.inf:
        return None
    from marginflow.svm.proof.farkas import prove

    found = prove(constraints, norm.diagonal, certified.dual)
    if found is None:
        return None
    proof = certify(constraints, norm, certified.W, certified.dual, found.multipliers)
    return proof, SvmStatus.infeasible, found.sentence


def _without_weights(
    constraints: Constraints, norm: AbstractNorm, certified: Certified
) -> tuple[Certified, SvmStatus, str]:
    """No separating weights came back: prove that there are none, or find some."""
    from marginflow.svm.proof.separable import separability

    found = separability(constraints, norm.diagonal)
    if found.separable:
        rescued = certify(constraints, norm, _weights(found.W), certified.dual)
        return rescued, SvmStatus.inaccurate, "only a separating W that need not be near the least was found"
    if found.separable is None:
        return (
            certified,
            SvmStatus.inaccurate,
            (f"no separating W was found and none is excluded; none has norm below {certified.certificate.lower:.6g}"),
        )
    proof = certify(constraints, norm, certified.W, certified.dual, found.farkas)
    return proof, SvmStatus.infeasible, found.proof


def _weights(W: Floats | None) -> Floats:
    assert W is not None
    return W


def _why_inaccurate(
    constraints: Constraints, norm: AbstractNorm, certified: Certified, tol: float, candidate: Candidate
) -> str:
    if candidate.interrupted:
        return "interrupted; the bounds are those reached so far"
    gap = certified.certificate.gap
    M = constraints.adjoint(certified.dual)
    size = norm.dual_value(certified.dual @ constraints.diagonal if norm.diagonal else M)
    plain = norm.value(certified.W) * size / float(certified.dual.sum()) - 1.0 if size else math.inf
    if plain <= max(tol, 1e-14):
        return (
            f"the bounds meet to {max(plain, 0.0):.1e} before rounding and to {gap:.1e} with it: "
            "this is what float64 can prove about constraints so nearly contradicting each other"
            if gap > 1e-12
            else f"the bounds meet to {gap:.1e}, which is as near as float64 brings them"
        )
    return f"the solver stopped at a certified gap of {gap:.1e} where {tol:.1e} was asked"

"""The door: choose a solver, certify what it hands over, and say what that proves."""

import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, frozen
from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Against, Problem
from marginflow.svm import rational
from marginflow.svm.candidate import Candidate
from marginflow.svm.certificate import Certified, certify
from marginflow.svm.mend import mended
from marginflow.svm.solution import Solution, SvmStatus


Progress = Callable[[int, float], None]
"""Called now and then with (iterations so far, relative gap so far)."""

Solver = Callable[..., Candidate]
"""(constraints, tol, *, progress) -> Candidate."""

_SOLVERS: Final = {
    "nuclear": ("marginflow.svm.nuclear", "solve_nuclear"),
    "operator": ("marginflow.svm.operator", "solve_operator"),
    "frobenius": ("marginflow.svm.euclidean", "solve_frobenius"),
    "l2": ("marginflow.svm.euclidean", "solve_l2"),
    "l1": ("marginflow.svm.linear", "solve_l1"),
    "linf": ("marginflow.svm.linear", "solve_linf"),
}
"""One line per norm; any other diagonal norm goes to `marginflow.svm.lp`."""

_WARM: Final = ("nuclear", "operator")
"""Norms whose solvers can set out from an earlier solution."""


def solve(
    problem: Problem | Constraints,
    norm: str | AbstractNorm = "nuclear",
    tol: float = 1e-9,
    selection: Any = None,
    *,
    against: Against = "all",
    start: Solution | None = None,
    progress: Progress | None = None,
) -> Solution:
    """Minimise N(W) subject to (x_selected - x_l)' W z_i >= 1 for every other token l (theory 3.4).

    Args:
        problem: the problem, or its constraints.
        norm: "nuclear", "frobenius", "operator"; for W = diag(beta) "l1", "l2", "lp:1.75", "linf".
        tol: certified relative gap asked for.
        selection: (n,) token selected in each sample; the optimal ones when None.
        against: which tokens constrain: "all" others, only "worse" or only "better" ones.
        start: a solution of a similar problem with as many constraints, from which the nuclear and the
            operator solver set out; the others need none.
        progress: called with (iterations, gap) by long solves. Ctrl-C ends a solve with the bounds reached.

    Returns:
        Weights, multipliers and two bounds of the value that hold in exact arithmetic.

    Raises:
        InputError: an unknown norm, a tolerance outside (0, 1), or a selection that does not fit.
        UndefinedError: a diagonal norm where tokens and queries differ in dimension.
    """
    chosen = parse_norm(norm)
    if not (isinstance(tol, (int, float)) and 0.0 < tol < 1.0):
        raise InputError(f"tol: got {tol!r}; expected a relative gap between 0 and 1, such as 1e-9")
    source: dict[str, Any] = {}
    if isinstance(problem, Problem):
        constraints = problem.constraints(selection, against=against)
        source = {"problem": problem, "selection": problem.selection(selection), "against": against}
    elif isinstance(problem, Constraints):
        constraints = problem
        if selection is not None or against != "all":
            raise InputError("selection, against: got them with constraints; expected a Problem to choose from")
    else:
        raise InputError(f"problem: got {type(problem).__name__}; expected a Problem or its Constraints")
    if chosen.diagonal:
        # Raises UndefinedError where a diagonal model makes no sense, also when nothing constrains.
        _ = constraints.diagonal
    return _solve(constraints, chosen, float(tol), start, progress, source)


def solve_many(
    problems: Iterable[Problem | Constraints],
    norm: str | AbstractNorm = "nuclear",
    tol: float = 1e-9,
    *,
    against: Against = "all",
    progress: Progress | None = None,
) -> list[Solution]:
    """`solve` each problem of a batch; `progress` is called with (problems solved, gap of the last one)."""
    solutions: list[Solution] = []
    for problem in problems:
        chosen = "all" if isinstance(problem, Constraints) else against
        solutions.append(solve(problem, norm, tol, against=chosen))
        if progress is not None:
            progress(len(solutions), solutions[-1].certificate.gap)
    return solutions


@one_thread()
def _solve(
    constraints: Constraints,
    norm: AbstractNorm,
    tol: float,
    start: Solution | None,
    progress: Progress | None,
    source: dict[str, Any],
) -> Solution:
    try:
        candidate = _candidate(constraints, norm, tol, start, progress)
    except np.linalg.LinAlgError:
        # A solver that broke down has found nothing; what is known without it still gets its bounds.
        shape: tuple[int, ...] = constraints.shape[:1] if norm.diagonal else constraints.shape
        candidate = Candidate(np.zeros(shape), np.zeros(len(constraints)))
    certified = certify(constraints, norm, candidate.W, candidate.dual, candidate.ray)
    certified, status, reason = _judge(constraints, norm, tol, candidate, certified, source)
    value = norm.value(certified.W) if certified.certificate.upper < math.inf else math.nan
    return Solution(
        constraints=constraints,
        norm=norm,
        W=frozen(np.diag(certified.W)) if norm.diagonal else certified.W,
        dual=certified.dual,
        value=value,
        certificate=certified.certificate,
        status=status,
        reason=reason,
        tol=tol,
        iterations=candidate.iterations,
        interrupted=candidate.interrupted,
        **source,
    )


def _judge(
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
    from marginflow.svm.farkas import prove

    found = prove(constraints, norm.diagonal, certified.dual)
    if found is None:
        return None
    proof = certify(constraints, norm, certified.W, certified.dual, found.multipliers)
    return proof, SvmStatus.infeasible, found.sentence


def _candidate(
    constraints: Constraints,
    norm: AbstractNorm,
    tol: float,
    start: Solution | None,
    progress: Progress | None,
) -> Candidate:
    if len(constraints) == 0:
        d, d_z = constraints.shape
        return Candidate(np.zeros(d if norm.diagonal else (d, d_z)), np.zeros(0))
    if norm.name in _SOLVERS:
        home, name = _SOLVERS[norm.name]
        if norm.name in _WARM and start is not None:
            if len(start.dual) != len(constraints) or start.W.shape != constraints.shape:
                raise InputError(
                    f"start: got {len(start.dual)} constraints on W {start.W.shape}; "
                    f"expected {len(constraints)} on {constraints.shape}"
                )
            warm = Candidate(start.W, start.dual)
            return _solver(home, name)(constraints, tol, progress=progress, start=warm)
        return _solver(home, name)(constraints, tol, progress=progress)
    return _solver("marginflow.svm.lp", "solve_lp")(constraints, norm, tol, progress=progress)


def _solver(home: str, name: str) -> Solver:
    solver: Solver = getattr(import_module(home), name)
    return solver


def _without_weights(
    constraints: Constraints, norm: AbstractNorm, certified: Certified
) -> tuple[Certified, SvmStatus, str]:
    """No separating weights came back: prove that there are none, or find some."""
    from marginflow.svm.separable import separability

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

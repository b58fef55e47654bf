"""The door: choose a solver, certify what it hands over, and say what that proves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, Final

import numpy as np

from marginflow.arrays import frozen
from marginflow.blas import one_thread
from marginflow.errors import InputError
from marginflow.losses import AbstractOutputLoss
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.optimal_attention.find import faces
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.named import load
from marginflow.problem.problem import Against, Problem
from marginflow.svm import opposed
from marginflow.svm.candidate import Candidate
from marginflow.svm.device import parse_device
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.proof.status import Answer, answer
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.scaling.independent import spread
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace
from marginflow.svm.scaling.unit_rows import zero_rows
from marginflow.svm.solution import Solution
from marginflow.svm.working_set import solve_stored


Progress = Callable[[int, float], None]
"""Called now and then with (iterations so far, relative gap so far)."""

Solver = Callable[..., Candidate]
"""(svm, tol, *, progress, start) -> Candidate; no row of the svm is zero."""

SOLVERS: Final[dict[str, Any]] = {
    "nuclear": ("marginflow.svm.spectral.nuclear", "solve_nuclear"),
    "operator": ("marginflow.svm.spectral.operator", "solve_operator"),
    "frobenius": ("marginflow.svm.euclidean.solve_euclidean", "solve_euclidean"),
    "l2": ("marginflow.svm.euclidean.solve_euclidean", "solve_euclidean"),
    "l1": ("marginflow.svm.diagonal.linear_program", "solve_l1"),
    "linf": ("marginflow.svm.diagonal.linear_program", "solve_linf"),
    "entry-l1": ("marginflow.svm.diagonal.linear_program", "solve_l1"),
    "entry-linf": ("marginflow.svm.diagonal.linear_program", "solve_linf"),
    "cut": ("marginflow.svm.cut", "solve_cut"),
}
"""One line per norm, (module, function); the l_p norms between share one solver, and `register` adds functions."""

ON_DEVICE: Final = ("nuclear", "frobenius", "operator")
"""The norms whose solvers also take `xp`, where to make products with the constraints."""

_NONE: Final = np.zeros(0, dtype=np.intp)

_BROKEN: Final = (np.linalg.LinAlgError, ArithmeticError)
"""What a solver that breaks down on hopeless data raises."""


@dataclass(frozen=True)
class _Search:
    """How solvers are run, whatever they solve.

    Attributes:
        progress: whom they tell.
        xp: where their products are made.
    """

    progress: Progress | None = None
    xp: AbstractNamespace = NUMPY

    def run(self, solver: Solver, svm: Svm, tol: float, start: Candidate | None) -> Candidate:
        """What `solver` finds. What overflows inside it spoils a candidate, which is certified like any other."""
        if self.xp is not NUMPY:
            solver = partial(solver, xp=self.xp)
        with np.errstate(all="ignore"), self.xp.working():
            return solver(svm, tol, progress=self.progress, start=start)


_POWERS: Final = ("marginflow.svm.diagonal.lp", "solve_lp")


def solve(
    problem: Problem | Constraints | str,
    norm: str | AbstractNorm = "nuclear",
    tol: float = 1e-9,
    selection: Any = None,
    *,
    loss: str | AbstractOutputLoss | None = None,
    against: Against = "all",
    start: Solution | None = None,
    progress: Progress | None = None,
    device: str | None = None,
) -> Solution:
    """Minimise N(W) subject to (x_selected - x_l)' W z_i >= 1 for every other token l (theory 3.4).

    Args:
        problem: the problem, its constraints, or what `load` takes.
        norm: "nuclear", "frobenius", "operator"; of all entries "entry-linf", "entry-l1", "entry-lp:3"; for W =
            diag(beta) "l1", "l2", "lp:1.75", "linf".
        tol: certified relative gap asked for.
        selection: (n,) token selected in each sample; the optimal ones when None. Or `Faces`.
        loss: the faces of this loss in place of a selection: the margins between their members are 0, of all other
            tokens at least 1. `solution.finite` is then the part of W that stays finite (theory 10.4).
        against: which tokens constrain: "all" others, only "worse" or only "better" ones.
        start: a solution of a similar problem with as many constraints, under this norm or another, to set out
            from: neighbours on a path of selections or of scaled data.
        progress: called with (iterations, gap) by long solves. Ctrl-C raises KeyboardInterrupt.
        device: where the search makes its products with the constraints: "cuda", "cuda:1", "cpu" or another device of
            PyTorch's that has float64; NumPy where None. Only under the nuclear, operator and Frobenius norm, and only
            worth it for some 1e7 numbers in the constraints (docs/scale.md). What is returned is certified on the
            CPU, by the same code.

    Returns:
        Weights, multipliers and two bounds of the value that hold in exact arithmetic.

    Raises:
        InputError: an unknown norm, a tolerance outside (0, 1), a selection that does not fit, a loss beside a
            selection or whose faces are not one point, or a norm of entries with more than 20 million numbers in
            constraints times entries (entry-linf: 4472 entries of W); a device that is not there, whose memory ends, or
            with another norm.
        UndefinedError: a diagonal norm where tokens and queries differ in dimension.
    """
    chosen = parse_norm(norm)
    problem = load(problem) if isinstance(problem, str) else problem
    warm = None if start is None else Candidate(start.beta if chosen.diagonal else start.W, start.dual)
    if loss is not None:
        if selection is not None or not isinstance(problem, Problem):
            raise InputError(
                "loss: got it with a selection or with constraints; expected a Problem, of which it has faces"
            )
        selection = faces(problem, loss)
    if device is not None and chosen.name not in ON_DEVICE:
        raise InputError(
            f"device: got {str(device)!r} with the norm {chosen.name}, whose solver has no products for a device; "
            f"expected {', '.join(ON_DEVICE)}; or leave device out"
        )
    return _solved(problem, chosen, tol, selection, against, warm, _Search(progress, parse_device(device)))


def solve_many(
    problems: Iterable[Problem | Constraints],
    norm: str | AbstractNorm = "nuclear",
    tol: float = 1e-9,
    *,
    against: Against = "all",
    progress: Progress | None = None,
) -> list[Solution]:
    """`solve` each problem of a batch; `progress` is called with (problems solved, gap of the last one).

    The certificates are those of `solve`, up to rounding. Small problems of one shape under the operator norm are
    solved together, in stacked matrices, which takes two thirds of the time (docs/svm.md).
    """
    batch, chosen = list(problems), parse_norm(norm)
    solutions: list[Solution] = []
    with one_thread():
        for problem, start in zip(batch, _starts(batch, chosen, tol, against), strict=True):
            own = "all" if isinstance(problem, Constraints) else against
            solutions.append(_solved(problem, chosen, tol, None, own, start, _Search()))
            if progress is not None:
                progress(len(solutions), solutions[-1].certificate.gap)
    return solutions


def _solved(
    problem: Problem | Constraints,
    chosen: AbstractNorm,
    tol: float,
    selection: Any,
    against: Against,
    start: Candidate | None,
    search: _Search,
) -> Solution:
    if not _is_tolerance(tol):
        raise InputError(f"tol: got {tol!r}; expected a relative gap between 0 and 1, such as 1e-9")
    source: dict[str, Any] = {"device": search.xp.name}
    if isinstance(problem, Problem):
        constraints = problem.constraints(selection, against=against)
        found = selection if isinstance(selection, Faces) else None
        selected = problem.selection(selection if found is None else found.reference)
        source |= {"problem": problem, "selection": selected, "against": against, "faces": found}
    elif isinstance(problem, Constraints):
        constraints = problem
        if selection is not None or against != "all":
            raise InputError("selection, against: got them with constraints; expected a Problem to choose from")
    else:
        raise InputError(
            f"problem: got {type(problem).__name__}; expected a Problem, its Constraints, or what marginflow.load takes"
        )
    if constraints.heads > 1:
        return _heads(constraints, chosen, float(tol), start, search, source)
    tokens = rational.tokens_of(source.get("problem"), source.get("selection"))
    return _solve(Svm(constraints, chosen, tokens), float(tol), start, search, source)


def _heads(
    constraints: Constraints,
    norm: AbstractNorm,
    tol: float,
    start: Candidate | None,
    search: _Search,
    source: dict[str, Any],
) -> Solution:
    """Every head by itself: they share no constraint (theory 3.4; docs/svm.md, Heads)."""
    from marginflow.svm import heads

    heads.exponent(norm)
    if start is not None and (len(start.dual) != len(constraints) or len(start.W) != constraints.heads):
        raise InputError(
            f"start: got {len(start.dual)} constraints and weights {start.W.shape}; expected {len(constraints)} "
            f"and {constraints.heads} heads"
        )
    parts = []
    tokens = rational.tokens_of(source.get("problem"), source.get("selection"))
    for h, (rows, own) in enumerate(constraints.per_head):
        near = None if start is None else Candidate(start.W[h], start.dual[rows])
        parts.append(_solve(Svm(own, norm, tokens), heads.SHARE * tol, near, search, source))
    return heads.combine(heads.Asked(constraints, norm, tol, source), parts)


def _starts(
    batch: list[Problem | Constraints], norm: AbstractNorm, tol: float, against: Against
) -> list[Candidate | None]:
    stackable = norm.name == "operator" and len(batch) > 1 and _is_tolerance(tol)
    if not stackable or not all(isinstance(problem, Problem | Constraints) for problem in batch):
        return [None] * len(batch)  # what is wrong with one of them `solve` says
    from marginflow.svm.spectral.stacked import operator_starts

    return operator_starts([p if isinstance(p, Constraints) else p.constraints(against=against) for p in batch], tol)


def _is_tolerance(tol: Any) -> bool:
    return isinstance(tol, (int, float)) and 0.0 < tol < 1.0


@one_thread()
def _solve(
    svm: Svm,
    tol: float,
    start: Candidate | None,
    search: _Search,
    source: dict[str, Any],
) -> Solution:
    if svm.constraints.stored is not None and len(svm):
        quiet = partial(_tried, search=replace(search, progress=None))
        found, iterations = solve_stored(svm, tol, start, quiet, search.progress or (lambda rounds, gap: None))
    else:
        candidate = _tried(svm, tol, start, search)
        found, iterations = answer(svm, tol, candidate), candidate.iterations
        if found.status is SvmStatus.inaccurate and len(svm) and not svm.least_margin(candidate.W) > 0.0:
            found = _again(svm, tol, found, search)
    certified = found.certified
    return Solution(
        constraints=svm.constraints,
        norm=svm.norm,
        W=frozen(svm.matrix(certified.W)),
        dual=certified.dual,
        value=certified.value(svm),
        certificate=certified.certificate,
        status=found.status,
        reason=found.reason,
        tol=tol,
        iterations=iterations,
        **source,
    )


def _tried(svm: Svm, tol: float, start: Candidate | None, search: _Search) -> Candidate:
    """What the solver finds; nothing where it breaks down, and what is known without it still gets its bounds."""
    try:
        return _candidate(svm, tol, start, search)
    except _BROKEN:
        return Candidate(np.zeros(svm.shape), np.zeros(len(svm)))


def _again(svm: Svm, tol: float, found: Answer, search: _Search) -> Answer:
    """Another search from weights that the proof of feasibility found where the solver found none."""
    start = Candidate(found.certified.W, found.certified.dual)
    if not start.W.any():
        return found
    try:
        second = answer(svm, tol, _candidate(svm, tol, start, search))
    except _BROKEN:
        return found
    return second if second.certified.certificate.gap < found.certified.certificate.gap else found


def _candidate(svm: Svm, tol: float, start: Candidate | None, search: _Search) -> Candidate:
    if not svm.leads.any():
        return Candidate(np.zeros(svm.shape), np.zeros(len(svm)))
    if start is not None and (len(start.dual) != len(svm) or start.W.shape != svm.shape):
        raise InputError(
            f"start: got {len(start.dual)} constraints on weights {start.W.shape}; expected {len(svm)} on {svm.shape}"
        )
    if svm.zero_row is not None:
        ray = np.zeros(len(svm))
        ray[svm.zero_row] = 1.0
        return Candidate(np.zeros(svm.shape), ray, ray)
    against = opposed.contradiction(svm.constraints)
    if against is not None:
        return Candidate(np.zeros(svm.shape), against, against)
    seen = np.ones(len(svm), dtype=bool) if svm.plain else ~zero_rows(svm.constraints, svm.diagonal)
    if not seen.all():
        # 0 >= 0 and 0 = 0 hold whatever the weights.
        near = None if start is None else Candidate(start.W, start.dual[seen])
        return spread(_candidate(svm.restrict(seen), tol, near, search), seen)
    left, right = (_NONE, _NONE) if svm.plain else opposed.pairs(svm.constraints)
    if len(left):
        one, kept = opposed.merged(svm, left, right)
        return opposed.split(_candidate(one, tol, None, search), kept, left, right)
    found = search.run(_solver(SOLVERS.get(svm.norm.name, _POWERS)), svm, tol, start)
    return found if start is None else replace(found, iterations={**found.iterations, **start.iterations})


def _solver(known: tuple[str, str] | Solver) -> Solver:
    if callable(known):
        return known
    solver: Solver = getattr(import_module(known[0]), known[1])
    return solver

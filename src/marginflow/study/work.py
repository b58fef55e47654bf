"""Running a unit of work: the flows of a batch, the SVM of each problem, and what a failed run leaves."""

import math
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from marginflow.blas import kernels, one_thread
from marginflow.code_version import version
from marginflow.diagnostics.late_law import late_law
from marginflow.diagnostics.ratio import ratio, weights_in
from marginflow.diagnostics.spectrum import dual_spectrum
from marginflow.errors import InputError
from marginflow.flow.integrate import integrate_many
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.optim.descend import descend_many
from marginflow.study.plan.cell import Cell, Unit
from marginflow.study.results.record import MarkRow, RunRow, SvmRow, to_arrays
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve_many
from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Finished:
    """A batch that is done: its results, and what it cost where it ran.

    Attributes:
        unit: which batch.
        arrays: for the batch file; the same wherever and whenever they were computed.
        cpu_seconds: of the thread that ran it.
        worker: host and process.
        versions: Python, NumPy, SciPy and BLAS there.
    """

    unit: Unit
    arrays: dict[str, Any]
    cpu_seconds: float
    worker: str
    versions: str


Work = Callable[[Unit], Finished]
"""What an engine runs; a plain function of a module, so that other processes can import it."""


def run_unit(unit: Unit) -> Finished:
    """Run a batch; a run that raises an error becomes a row with its reason.

    Raises:
        InputError: the plan was made by other code of marginflow than that running here.
        KeyboardInterrupt: Ctrl-C; nothing of the batch is kept.
    """
    if unit.version != version():
        raise InputError(
            f"worker {worker_name()}: has marginflow {version()}; expected {unit.version}, as the "
            "coordinator; install the same version everywhere"
        )
    start = time.thread_time()
    with one_thread():
        rows = _rows(unit.cell, list(unit.seeds))
        arrays = to_arrays(unit, rows)
        return Finished(unit, arrays, time.thread_time() - start, worker_name(), versions())


def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def versions() -> str:
    """What the last bits of a result depend on besides this library."""
    return f"python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, {kernels()}"


def _rows(cell: Cell, seeds: Sequence[int]) -> list[RunRow]:
    """The rows of `seeds`, in order. A batch that raises is tried seed by seed, so that one spoils none."""
    try:
        return _together(cell, seeds)
    except Exception as error:
        # Everything a run can raise is its result here; Ctrl-C is no Exception and goes on up.
        if len(seeds) == 1:
            return [RunRow(seeds[0], "failed", _sentence(error))]
    return [row for seed in seeds for row in _rows(cell, [seed])]


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _together(cell: Cell, seeds: Sequence[int]) -> list[RunRow]:
    settings = cell.settings
    problems = [cell.problem(seed) for seed in (seeds if cell.follows else seeds[:1])]
    model = cell.model(problems[0])
    given = problems if cell.follows else problems[0]
    if cell.steps is None:
        paths = integrate_many(
            given,
            model,
            seeds=list(seeds),
            scale=cell.scale,
            until_margin=settings.until_margin,
            until=settings.until,  # type: ignore[arg-type]
            loss=settings.loss,
            rtol=settings.rtol,
        )
    else:
        paths = descend_many(
            problems if cell.follows else problems * len(seeds),
            model,
            cell.steps.optimizer,
            seeds=list(seeds),
            scale=cell.scale,
            rate=cell.steps.rate,
            decay=cell.steps.decay or None,
            batch=cell.steps.samples or None,
            iterations=settings.iterations,
            loss=settings.loss,
        )
    norms = [parse_norm(norm) for norm in cell.norms]
    solved = [solve_many(problems, norm, settings.tol) for norm in norms]
    return [_row(path, [batch[i if cell.follows else 0] for batch in solved], cell) for i, path in enumerate(paths)]


def _row(path: Trajectory, solutions: Sequence[Solution], cell: Cell) -> RunRow:
    W = path.W(-1)
    singular = np.linalg.svd(W, compute_uv=False)
    own = parse_norm(path.norm)
    find = _at_margin if cell.steps is None else _at_iteration
    marks = [_mark(path, s.norm, target, find(path, target)) for s in solutions for target in cell.targets]
    return RunRow(
        seed=path.seed,
        status=path.status.name,
        reason=path.reason,
        ended=path.ended.name,
        predicted=path.method.norm or "",
        margin=float(path.margin[-1]),
        log_time=float(path.log_time[-1]),
        log_excess=float(path.log_excess[-1]),
        ratio=_ratio(path, own, -1),
        nuclear=float(singular.sum()),
        frobenius=float(math.sqrt((singular**2).sum())),
        evaluations=path.evaluations,
        steps=path.steps,
        conserved_drift=path.conserved_drift,
        wrong=int((path.selected(-1) != path.optimal).sum()),
        constraints=len(path.problem.constraints()),
        d=path.problem.d,
        d_z=path.problem.d_z,
        svms=tuple(_svm(path, solution) for solution in solutions),
        marks=tuple(marks),
    )


def _svm(path: Trajectory, solution: Solution) -> SvmRow:
    infeasible = solution.status is SvmStatus.infeasible
    return SvmRow(
        norm=solution.norm.name,
        status=solution.status.name,
        value=math.nan if infeasible else float(solution.value),
        lower=solution.certificate.lower,
        upper=math.nan if infeasible else solution.certificate.upper,
        rho=math.nan if infeasible else _rho(solution),
        ratio=_ratio(path, solution.norm, -1),
        rank=-1 if infeasible or solution.rank is None else solution.rank,
        power=_power(path, solution),
    )


def _power(path: Trajectory, solution: Solution) -> float:
    """The predicted power of R - 1 in the run's own norm; nan where there is none."""
    if solution.norm.name != path.norm or solution.status is not SvmStatus.optimal:
        return math.nan
    law = late_law(path, solution)
    return math.nan if law is None or law.power is None else law.power


def _rho(solution: Solution) -> float:
    """The slowest predicted power, where the norm has one: below the largest singular value, or |b_j|; of one head."""
    if solution.constraints.heads > 1:
        return math.nan
    if solution.norm.name == "nuclear":
        return dual_spectrum(solution.constraints.adjoint(solution.dual)).slowest
    if solution.norm.name == "l1":
        return dual_spectrum(np.diag(solution.constraints.diagonal.T @ solution.dual)).slowest
    return math.nan


def _at_margin(path: Trajectory, target: float) -> int | None:
    """The first snapshot at or beyond a margin."""
    reached = np.flatnonzero(path.margin >= target)
    return int(reached[0]) if len(reached) else None


def _at_iteration(path: Trajectory, target: float) -> int | None:
    """The snapshot nearest to an iteration; none where the run ended before or does not separate there."""
    i = int(np.abs(path.iteration - target).argmin())
    reached = path.iteration[-1] >= target and path.margin[i] > 0.0
    return i if reached else None


def _mark(path: Trajectory, norm: AbstractNorm, target: float, i: int | None) -> MarkRow:
    if i is None:
        return MarkRow(norm.name, target)
    margin = float(path.margin[i])
    size = norm.value(weights_in(norm, path.W(i)))
    return MarkRow(norm.name, target, margin, float(path.log_time[i]), _ratio(path, norm, i), size / margin)


def _ratio(path: Trajectory, norm: AbstractNorm, i: int) -> float:
    return ratio(path.W(i), path.dual(i), path.problem.constraints(), norm)

"""l1 and linf: linear programs, by interior points and then the vertex itself (theory 3.4, docs/svm.md)."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.svm.candidate import Candidate
from marginflow.svm.diagonal.l1 import start_l1
from marginflow.svm.diagonal.linf import start_linf
from marginflow.svm.diagonal.path_following import Iterate, follow
from marginflow.svm.diagonal.vertex import AbstractVertexProgram, Start
from marginflow.svm.program import Svm
from marginflow.svm.scaling.independent import independent, spread
from marginflow.svm.scaling.unit_rows import Rows


Progress = Callable[[int, float], None]


def solve_l1(svm: Svm, tol: float, *, progress: Progress | None = None, start: Candidate | None = None) -> Candidate:
    """Minimise the sum of |w_j| over the weights, all entries of W or the diagonal; none of the rows is zero."""
    return _solve(svm, tol, progress, start_l1, start)


def solve_linf(svm: Svm, tol: float, *, progress: Progress | None = None, start: Candidate | None = None) -> Candidate:
    """Minimise max |w_j| over the weights, all entries of W or the diagonal; none of the rows is zero."""
    return _solve(svm, tol, progress, start_linf, start)


def _solve(
    svm: Svm,
    tol: float,
    progress: Progress | None,
    inside: Callable[[Floats, Floats, Bools], Start],
    earlier: Candidate | None,
) -> Candidate:
    if svm.constraints.equal.any():
        kept = independent(svm)
        if not kept.all():
            near = None if earlier is None else Candidate(earlier.W, earlier.dual[kept])
            return spread(_solve(svm.restrict(kept), tol, progress, inside, near), kept)
    rows = svm.rows
    program, *point = inside(svm.written_out(square=not svm.norm.sparse), rows.h, rows.equal)
    best = _Best(program, rows, svm.shape)
    steps = {"interior": 0}
    iterate: Iterate | None = None
    if earlier is not None and _same_vertex(best, earlier, tol):
        return best.candidate({"vertex": 1}, ray=False)
    for iterate in follow(program, *point) if program.interior else ():
        steps["interior"] += 1
        best.offer(*program.pair(iterate))
        if best.gap < _NEAR and (program.square(iterate) or best.gap < _CLOSE):
            best.offer(*program.vertex(iterate))
        if best.gap <= _EXACT:
            break
        if iterate.complementarity < 1e-18 or best.lower > _HOPELESS * float(rows.h.max()):
            break
        if progress is not None:
            progress(steps["interior"], best.gap)
    if iterate is not None and _EXACT < best.gap < _NEAR:
        best.offer(*program.vertex(iterate))
    hopeless = best.upper == np.inf and best.lower > _DOUBTFUL * float(rows.h.max())
    if best.gap > tol / 4 and not hopeless and len(rows) * rows.dimension <= _SIMPLEX:
        steps["simplex"] = 1
        best.offer(*program.simplex())
        if not program.interior:
            _at_vertex(best, best.beta, best.y)
    return best.candidate(steps, ray=True)


def _same_vertex(best: "_Best", earlier: Candidate, tol: float) -> bool:
    """Whether the face of an earlier optimum is still the optimal one, its equations solved anew."""
    rows = best.rows
    beta, y = rows.scale.reduce(earlier.W.ravel()), rows.scale.reduce_dual(np.maximum(earlier.dual, rows.floor))
    _at_vertex(best, beta, y)
    return best.gap <= tol / 4


def _at_vertex(best: "_Best", beta: Floats, y: Floats) -> None:
    """Offer the vertex that weights and multipliers point to."""
    rows, program = best.rows, best.program
    size = program.dual_value(rows.adjoint(y))
    least = rows.reached(rows.margins(beta), float(np.sqrt(beta @ beta)))
    if size > 0.0 and least > 0.0:
        with contextlib.suppress(np.linalg.LinAlgError):
            best.offer(*program.vertex(program.at(beta / least, y / size)))


@dataclass(eq=False)
class _Best:
    """The best weights and the best multipliers seen, each by its own bound."""

    program: AbstractVertexProgram
    rows: Rows
    shape: tuple[int, ...]
    upper: float = np.inf
    lower: float = 0.0
    beta: Floats = field(init=False)
    y: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.beta, self.y = np.zeros(self.rows.dimension), np.zeros(len(self.rows))

    @property
    def gap(self) -> float:
        return self.upper / self.lower - 1.0 if self.lower > 0.0 else np.inf

    def candidate(self, steps: dict[str, int], *, ray: bool) -> Candidate:
        """Both in the user's units, the multipliers as a candidate proof as well where `ray` says so."""
        scale = self.rows.scale
        dual = scale.restore_dual(self.y)
        return Candidate(scale.restore(self.beta).reshape(self.shape), dual, dual if ray else None, steps)

    def offer(self, beta: Floats, y: Floats) -> float:
        """Keep what is better; return the gap of the two best together."""
        worst = self.rows.reached(self.rows.margins(beta), float(np.sqrt(beta @ beta)))
        upper = self.program.value(beta) / worst if worst > 0.0 else np.inf
        if upper < self.upper:
            self.upper, self.beta = upper, beta
        y = np.maximum(y, self.rows.floor)
        size = self.program.dual_value(self.rows.adjoint(y))
        lower = float(self.rows.h @ y) / size if size > 0.0 else 0.0
        if lower > self.lower:
            self.lower, self.y = lower, y
        return self.gap


_NEAR: Final = 1e-4
"""Relative gap below which the vertex is worth trying."""

_CLOSE: Final = 1e-6
"""Relative gap below which it is tried although its equations are not square (more than one optimum)."""

_EXACT: Final = 1e-13

_SIMPLEX: Final = 300_000
"""Most entries of a program handed to HiGHS."""

_HOPELESS: Final = 1e13
"""Lower bound, in units of max h, at which the multipliers are handed on as a candidate proof."""

_DOUBTFUL: Final = 1e8
"""As _HOPELESS, while no separating weights are known: HiGHS would find none either."""

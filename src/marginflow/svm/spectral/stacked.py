"""Many small problems of one shape at once: interior points on stacked matrices (docs/svm-nuclear.md, section 4.2).

On (6, 8, 10) a NumPy call costs more than its arithmetic; fifty problems in one array share the calls.
"""

from collections.abc import Sequence

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.problem.constraints import Constraints
from marginflow.svm.candidate import Candidate
from marginflow.svm.scaling.presolve import Presolved, presolve
from marginflow.svm.scaling.unit_rows import zero_row
from marginflow.svm.spectral.interior_point import STEPS
from marginflow.svm.spectral.operator import OperatorNorm
from marginflow.svm.spectral.operator_interior import operator_interior
from marginflow.svm.spectral.solve_spectral import HOPELESS


TOGETHER = 32  # problems in one stack; more only spill out of the cache


def operator_starts(problems: Sequence[Constraints], tol: float) -> list[Candidate | None]:
    """For each problem a solution of least operator norm to start `solve_operator` from, or None.

    It comes back from there at once where it is as good as `tol`; what is too large for interior points at once,
    infeasible, or breaks them down is left to that solver.
    """
    starts: list[Candidate | None] = [None] * len(problems)
    shapes: dict[tuple[int, ...], list[tuple[int, Presolved]]] = {}
    norm = OperatorNorm()
    for i, constraints in enumerate(problems):
        if not constraints.plain:
            continue
        if min(constraints.shape) > 1 and len(constraints) and zero_row(constraints, diagonal=False) is None:
            reduced = presolve(constraints)
            if norm.patience(reduced.operator) == 0:
                key = (*reduced.operator.shape, len(constraints))
                shapes.setdefault(key, []).append((i, reduced))
    for group in shapes.values():
        for first in range(0, len(group), TOGETHER):
            stack = group[first : first + TOGETHER]
            for (i, _), candidate in zip(stack, _solve([reduced for _, reduced in stack], tol / 4.0), strict=True):
                starts[i] = candidate
    return starts


def _solve(stack: list[Presolved], target: float) -> list[Candidate | None]:
    """Interior points on all of `stack` until each is done or one of them breaks down."""
    operators = [reduced.operator for reduced in stack]
    shape = operators[0].shape
    h = np.stack([A.h for A in operators])
    state = operator_interior(np.stack([A.written_out() for A in operators]), h, h, shape)
    found: list[Candidate | None] = [None] * len(stack)
    left = np.arange(len(stack))
    for step in range(STEPS):
        upper, lower = state.bounds()
        done: Bools = 1.0 - lower / upper <= target
        for k in np.flatnonzero(done):
            found[left[k]] = _restored(stack[left[k]], state.W[k], state.dual[k], step)
        going = ~done & (lower < HOPELESS * state.h.max(axis=1))
        state, left = state.restrict(going), left[going]
        if len(left) == 0:
            break
        try:
            state = state.advance()
        except np.linalg.LinAlgError:
            break
    return found


def _restored(reduced: Presolved, W: Floats, dual: Floats, steps: int) -> Candidate:
    return Candidate(reduced.restore(W), reduced.restore_dual(dual), None, {"interior_point": steps})

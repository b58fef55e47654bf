"""The SVM of the cut-dual norm: a linear program over sign pairs, found one by one (docs/svm.md)."""

from collections.abc import Callable
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.norms.cut import largest, require_small
from marginflow.svm.candidate import Candidate
from marginflow.svm.program import Svm


PRICED: Final = 40
"""Columns added at a time."""

EXACT: Final = 1e-12
"""Relative excess of a column's price that counts as none."""

LONGEST: Final = 400
"""Rounds at most; digits (17 x 19) take 20."""


def solve_cut(
    svm: Svm, tol: float, *, progress: Callable[[int, float], None] | None = None, start: Candidate | None = None
) -> Candidate:
    """Minimise sum t_s subject to sum t_s x_s'A_c y_s >= level_c by column generation; none of the rows is zero.

    Raises:
        InputError: W with more than 20 rows and columns.
    """
    from scipy.optimize import linprog

    require_small(svm.shape)
    rows = svm.rows
    R, h, scale, same = svm.written_out(), rows.h, rows.scale, rows.equal
    # e_i e_j' has norm 1 as well: with these the program has a solution iff some W separates.
    unit = np.eye(rows.dimension)
    columns = np.concatenate([unit, -unit])
    best, lower = np.zeros(len(svm)), 0.0
    W = np.zeros(rows.dimension)
    for rounds in range(1, LONGEST + 1):
        found = linprog(
            np.ones(len(columns)),
            A_ub=-(R[~same] @ columns.T),
            b_ub=-h[~same],
            A_eq=R[same] @ columns.T if same.any() else None,
            b_eq=h[same] if same.any() else None,
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if found.x is None:
            return _inseparable(svm, tol)
        W, value, dual = found.x @ columns, float(found.x.sum()), np.zeros(len(svm))
        dual[~same] = np.maximum(-found.ineqlin.marginals, 0.0)
        if same.any():
            dual[same] = found.eqlin.marginals
        top, X, Y = largest((dual @ R).reshape(svm.shape), PRICED)
        if not top > 0.0:
            break
        if float(h @ dual) / top > lower:
            lower, best = float(h @ dual) / top, dual
        if progress is not None:
            progress(rounds, value / lower - 1.0)
        new = _prices(X, (dual @ R).reshape(svm.shape), Y) > 1.0 + EXACT
        if value <= lower * (1.0 + EXACT) or not new.any():
            break
        columns = np.concatenate([columns, (X[new][:, :, None] * Y[new][:, None, :]).reshape(int(new.sum()), -1)])
    return Candidate(
        scale.restore(W).reshape(svm.shape), scale.restore_dual(best), None, {"rounds": rounds, "columns": len(columns)}
    )


def _prices(X: Floats, M: Floats, Y: Floats) -> Floats:
    return np.asarray(np.einsum("sd,dk,sk->s", X, M, Y))


def _inseparable(svm: Svm, tol: float) -> Candidate:
    """What the Euclidean solver says of the same constraints: whether weights separate does not depend on the norm."""
    from marginflow.svm.euclidean.solve_euclidean import solve_euclidean

    return solve_euclidean(svm.euclidean(), tol)

"""Referee: every selection, decided by solvers that are not the package's (SciPy's NNLS and HiGHS)."""

import itertools

import numpy as np
from scipy.optimize import linprog, nnls


def rows(problem, selected, i, wanted, diagonal):
    own = problem.scores[i, selected[i]]
    keep = problem.mask[i] & wanted(problem.scores[i], own)
    a = problem.X[i, selected[i]] - problem.X[i][keep]
    if diagonal:
        return a * problem.z[i]
    return np.einsum("cd,e->cde", a, problem.z[i]).reshape(len(a), problem.d * problem.d_z)


def stack(problem, selected, wanted, diagonal):
    return np.concatenate([rows(problem, selected, i, wanted, diagonal) for i in range(problem.n)])


def least_distance(A):
    """Lawson and Hanson's reduction of min |w| s.t. A w >= 1 to NNLS (theory 3.4); None when infeasible."""
    scale = np.linalg.norm(A, axis=1).max()
    E = np.vstack([A.T / scale, np.ones(len(A))])
    f = np.append(np.zeros(len(E) - 1), 1.0)
    u, _ = nnls(E, f, maxiter=50 * E.shape[1])
    rho = E @ u - f
    return None if -rho[-1] < 1e-12 else -rho[:-1] / rho[-1] / scale


def least_l1(A):
    C, d = A.shape
    out = linprog(np.ones(2 * d), A_ub=-np.hstack([A, -A]), b_ub=-np.ones(C), method="highs")
    return out.x[:d] - out.x[d:] if out.status == 0 else None


def brute(problem, norm):
    """The selections that pass the rule with room to spare, and those too close to call."""
    diagonal = norm in ("l1", "l2")
    solver = least_l1 if norm == "l1" else least_distance
    passed, doubtful = set(), set()
    for selected in itertools.product(*(np.flatnonzero(m) for m in problem.mask)):
        worse = stack(problem, selected, np.less, diagonal)
        better = stack(problem, selected, np.greater, diagonal)
        if len(worse) == 0:
            continue
        w = solver(worse)
        if w is None:
            continue
        least = (better @ w).min(initial=np.inf)
        if abs(least - 1.0) < 1e-5:
            doubtful.add(tuple(map(int, selected)))
        elif least > 1.0:
            passed.add(tuple(map(int, selected)))
    return passed, doubtful

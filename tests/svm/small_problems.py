"""Problems of small whole numbers, and where their optima can be, by another solver."""

import contextlib
import warnings

import cvxpy as cp
import numpy as np

import marginflow as mf


def completion(diagonal, tree):
    """W_jj >= d_j^2 and W_ij >= d_i d_j on a spanning tree: tr W = sum d^2 only for W = d d' (nuclear norm)."""
    d = len(diagonal)
    a, z = np.eye(d), np.eye(d) / np.square(diagonal)[:, None]
    for i, j in tree:
        a = np.vstack([a, np.eye(d)[i]])
        z = np.vstack([z, np.eye(d)[j] / (diagonal[i] * diagonal[j])])
    return mf.Constraints(a, np.arange(len(a)), z)


def whole_numbers(seed):
    """A few constraints with entries -2 to 2."""
    draw = np.random.default_rng(seed)
    n, others, d = int(draw.integers(1, 4)), int(draw.integers(1, 3)), int(draw.integers(1, 4))
    a = draw.integers(-2, 3, (n * others, d)).astype(float)
    z = draw.integers(-2, 3, (n, d)).astype(float)
    z[~z.any(axis=1)] = 1.0
    a[~a.any(axis=1)] = 1.0
    return mf.Constraints(a, np.repeat(np.arange(n), others), z)


DIRECTIONS = 6


def extreme_optima(constraints, norm, value):
    """Optima (to a few 1e-7 of the norm) farthest in random directions, both ways; HiGHS for l1 and linf, or Clarabel.

    Clarabel gives up on some of these thin sets, by luck of the last digit of the bound: then a wider one is asked. A
    direction that stays without an answer is one less that was looked at; one of `DIRECTIONS` may, no more.
    """
    draw, out = np.random.default_rng(1), []
    d = constraints.shape[0]
    linear = norm in ("l1", "linf")
    for _ in range(DIRECTIONS // 2):
        G = draw.standard_normal(constraints.shape)
        if linear:
            W = cp.Variable(d)
            size = cp.norm1(W) if norm == "l1" else cp.norm_inf(W)
            margins, along = constraints.diagonal @ W, G.diagonal() @ W
        else:
            W = cp.Variable(constraints.shape)
            size = cp.normNuc(W) if norm == "nuclear" else cp.sigma_max(W)
            margins = cp.hstack([a @ W @ z for a, z in zip(constraints.a, constraints.queries, strict=True)])
            along = cp.sum(cp.multiply(G, W))
        for sign in (1.0, -1.0):
            for slack in (1e-7, 2e-7, 3e-7):
                asked = cp.Problem(cp.Maximize(sign * along), [size <= value * (1 + slack), margins >= 1])
                with warnings.catch_warnings(), contextlib.suppress(cp.SolverError):
                    warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate": not "optimal", so asked again
                    asked.solve(solver="HIGHS" if linear else "CLARABEL")
                if W.value is not None and asked.status == "optimal":
                    out.append(np.array(W.value))
                    break
    assert len(out) >= DIRECTIONS - 1, f"{len(out)} of {DIRECTIONS} directions answered"
    return out

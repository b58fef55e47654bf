"""Equalities that no single query shows: contradictions between queries or tokens that depend on each other."""

from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.optimal_attention.distinct import Row
from marginflow.problem.problem import Problem


LARGEST: Final = 4_000_000
"""Numbers in the programme beyond which nothing is looked for; `solve` then says that the rows contradict."""


def implied_equalities(
    problem: Problem, rows: list[Row], best: Ints, inside: list[Bools]
) -> tuple[list[tuple[int, int]], bool]:
    """(row, kind) pairs outside the components that no W with the equalities leaves behind while it loses on none.

    max sum_c t_c subject to <A_c, W> >= t_c, 0 <= t_c <= 1 and the equalities: where t_c is 0, every W that never
    lowers the label's lead leaves c level (strict complementarity of the linear programme).

    Returns:
        The pairs, and whether it is proved that they are all: independent tokens and queries, or, where nothing stays
        level, weights whose margins are positive beyond rounding.
    """
    pairs = [(i, k) for i, row in enumerate(rows) for k in range(len(row.tokens)) if k != best[i]]
    stays = np.array([bool(inside[i][k]) for i, k in pairs], dtype=bool)
    d, d_z, heads = problem.d, problem.d_z, problem.counts[1]
    size = d * d_z * heads
    if not len(pairs) or stays.all() or _free(problem):
        return [], True
    if len(pairs) * (size + len(pairs)) > LARGEST:
        return [], False
    from scipy.optimize import linprog

    sample = np.array([i for i, _ in pairs])
    token = np.array([rows[i].tokens[k] for i, k in pairs])
    a = problem.X[sample, problem.optimal[sample]] - problem.X[sample, token]
    blocks = np.zeros((len(pairs), heads, d * d_z))
    outer = a[:, :, None] * problem.z[sample][:, None, :]
    blocks[np.arange(len(pairs)), problem.head[sample]] = outer.reshape(len(a), -1)
    A = blocks.reshape(len(pairs), size)
    A /= np.linalg.norm(A, axis=1, keepdims=True)
    out = ~stays
    count = int(out.sum())
    found = linprog(
        np.concatenate([np.zeros(size), -np.ones(count)]),
        A_ub=np.hstack([-A[out], np.eye(count)]),
        b_ub=np.zeros(count),
        A_eq=np.hstack([A[stays], np.zeros((len(A) - count, count))]),
        b_eq=np.zeros(len(A) - count),
        bounds=[(None, None)] * size + [(0.0, 1.0)] * count,
        method="highs",
    )
    if found.x is None:
        return [], False
    left = np.flatnonzero(out)[found.x[size:] < 0.5]
    return [pairs[c] for c in left], not stays.any() and _separates(A, found.x[:size])


def _separates(A: Floats, w: Floats) -> bool:
    """Whether all margins A w are positive for the exact rows, of which A has a few roundings an entry."""
    doubt = 2.0 * (A.shape[1] + 16) * float(np.finfo(float).eps) * (np.abs(A) @ np.abs(w))
    return bool((A @ w > doubt).all())


def _free(problem: Problem) -> bool:
    """Whether different tokens and different queries are independent: every component then parts from the others."""
    tokens = np.unique(problem.X[problem.mask] + 0.0, axis=0)
    queries = np.unique(problem.z + 0.0, axis=0)
    return _independent(tokens) and _independent(queries)


def _independent(vectors: Floats) -> bool:
    if len(vectors) > vectors.shape[1]:
        return False
    s = np.linalg.svd(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-300), compute_uv=False)
    return bool(s[-1] > 1e-10)

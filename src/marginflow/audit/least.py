"""How thrifty a head is: its norms over the least that make the margins of its own top tokens."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.norms import parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.svm.solve import solve


TOL = 1e-2
"""Certified relative gap of the SVMs: far below how much heads differ."""


@dataclass(frozen=True)
class Thrift:
    """Norms of W, on the directions that the data see, over the least with W's own margins; at least 1.

    That a head's top tokens are separable is true of every head by construction and says nothing; this ratio does.

    Attributes:
        nuclear, frobenius: N(W) over the certified lower bound of the least norm: at least 1 since W is feasible,
            and above the true ratio by at most the SVM's gap, TOL.
        constraints: how many margins were asked for.
        queries: how many queries they come from.
    """

    nuclear: float
    frobenius: float
    constraints: int
    queries: int


def thrift(head: Head, X: Floats, sees: Bools, queries: int, random: np.random.Generator) -> Thrift | None:
    """Solve both SVMs for `queries` random queries; None where no query has a margin.

    Args:
        head: without positions or norms between K and Q, so that logits are x'Wz.
        X: (n, T, D) inputs.
        sees: (n, T, T).
    """
    sample, query = np.nonzero(sees.sum(axis=-1) >= 2)
    chosen = np.sort(random.choice(len(sample), min(queries, len(sample)), replace=False))
    rows, margins, place = [], [], []
    for number, (i, s) in enumerate(zip(sample[chosen], query[chosen], strict=True)):
        tokens = X[i, sees[i, s]]
        logits = head.scale * (head.rows(0, tokens) @ head.rows(1, X[i, s]))
        top = int(logits.argmax())
        lead = logits[top] - logits
        # A repeated token has no margin: no weights can tell it from itself.
        kept = lead > 1e-9 * max(1.0, float(np.abs(logits).max()))
        rows.append((tokens[top] - tokens[kept]) / lead[kept, None])
        margins.append(lead[kept])
        place.append(np.full(int(kept.sum()), number))
    a, at = np.concatenate(rows), np.concatenate(place)
    if not len(a):
        return None
    d = X.shape[-1]
    z = X[sample[chosen], query[chosen]]
    if head.Q.shape[1] == d + 1:
        z = np.column_stack([z, np.ones(len(z))])
    W = head.scale * head.K[:, :d].T @ head.Q
    seen = _projector(a) @ W @ _projector(z[np.unique(at)])
    try:
        constraints = Constraints(a, at, z)
    except InputError:
        return None
    ratios = []
    for name in ("nuclear", "frobenius"):
        least = solve(constraints, name, TOL).certificate.lower
        ratios.append(parse_norm(name).value(seen) / least)
    return Thrift(ratios[0], ratios[1], len(a), len(np.unique(at)))


def _projector(rows: Floats) -> Floats:
    """(D, D) onto the span of `rows`."""
    _, singular, basis = np.linalg.svd(rows, full_matrices=False)
    kept = basis[singular > 1e-10 * singular.max(initial=0.0)]
    return np.asarray(kept.T @ kept)

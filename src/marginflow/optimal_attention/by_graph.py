"""Faces of the log loss with one scored kind of token per row: next-token prediction (theory 10.3).

-log p_label is convex in W, so that the rows settle together: inside a strongly connected component of the
token-priority graph logits stay finite, between components they part.
"""

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, frozen
from marginflow.losses import Log
from marginflow.optimal_attention.choice import Choice, settle, shares
from marginflow.optimal_attention.distinct import Row, distinct_rows
from marginflow.optimal_attention.finite_part import Span
from marginflow.optimal_attention.implied import implied_equalities
from marginflow.optimal_attention.token_graph import TokenGraph
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Problem


def is_choice(problem: Problem) -> bool:
    """Whether every row is its own output, and all its scores are 0 but those of one token and its duplicates."""
    if problem.counts[0] != problem.n:
        return False
    rows = np.arange(problem.n)
    label = (problem.X == problem.X[rows, problem.optimal][:, None, :]).all(axis=2) & problem.mask
    own = problem.scores[rows, problem.optimal][:, None]
    return bool((problem.scores == np.where(label, own, 0.0))[problem.mask].all())


def faces_by_graph(problem: Problem, loss: Log) -> Faces:
    """The faces of `problem`, for which `is_choice`."""
    rows = distinct_rows(problem)
    best = np.array([row.kind[t] for row, t in zip(rows, problem.optimal, strict=True)])
    graph = TokenGraph.of(problem, rows, best)
    inside = [graph.component[nodes] == graph.component[k] for nodes, k in zip(graph.node, graph.label, strict=True)]
    implied, all_of_them = implied_equalities(problem, rows, best, inside)
    for i, kind in implied:
        inside[i][kind] = True
    equal = _equalities(problem, rows, best, inside)
    W, decrement, error, loss_inside, gap = equal.adjoint(np.zeros(len(equal))), 0.0, 0.0, 0.0, 0.0
    held = [np.ones(1) for _ in rows]
    if len(equal):
        span = Span.of(equal)
        several = [i for i in range(problem.n) if inside[i].sum() > 1]
        choice = _choice(problem, rows, best, graph, inside, equal, span, several)
        found = settle(choice)
        W, decrement, error = span.weights(equal, found.y), found.decrement, float(np.expm1(found.error))
        loss_inside, gap = found.value, found.gap
        for i, p in zip(several, shares(choice, found.y), strict=True):
            held[i] = p
    members, share = _spread(problem, rows, inside, held)
    offsets = -np.log(problem.scores[np.arange(problem.n), problem.optimal])
    least = (loss_inside + float(offsets.sum())) / problem.n
    eps = float(np.finfo(float).eps)
    known = bool(np.isfinite(error))
    return Faces(
        members=frozen(members),
        shares=frozen(share),
        unique=frozen(np.full(problem.n, known) | (members.sum(axis=1) == 1)),
        decided=frozen(np.full(problem.n, known and all_of_them)),
        gap=(gap + 4.0 * eps * float(np.abs(offsets).sum())) / problem.n + 4.0 * eps * abs(least),
        minimal_loss=least,
        shares_error=frozen(np.where([flags.sum() > 1 for flags in inside], error, 0.0)),
        attainable=True,
        reference=problem.optimal,
        finite=frozen(W),
        finite_decrement=decrement / problem.n,
        loss=loss.word,
        reason=_reason(implied, all_of_them, known),
    )


def _equalities(problem: Problem, rows: list[Row], best: Ints, inside: list[Bools]) -> Constraints:
    """Label less every other kind that stays, row by row."""
    at = [(i, int(row.tokens[k])) for i, row in enumerate(rows) for k in np.flatnonzero(inside[i]) if k != best[i]]
    sample, token = np.array(at, dtype=np.intp).reshape(-1, 2).T
    a = problem.X[sample, problem.optimal[sample]] - problem.X[sample, token]
    # The same pair of tokens under the same query says nothing new.
    says = np.column_stack([a, problem.z[sample], problem.head[sample]]) + 0.0
    first = np.sort(np.unique(says, axis=0, return_index=True)[1]) if len(a) else np.zeros(0, dtype=np.intp)
    sample, token, a = sample[first], token[first], a[first]
    equal = np.ones(len(a), dtype=bool)
    return Constraints(a, sample, problem.z, token, equal=equal, head=problem.head[sample], heads=problem.counts[1])


def _choice(
    problem: Problem,
    rows: list[Row],
    best: Ints,
    graph: TokenGraph,
    inside: list[Bools],
    equal: Constraints,
    span: Span,
    several: list[int],
) -> Choice:
    """The loss of the rows that keep several kinds, as a function of coordinates of the span of the equalities."""
    nodes = [graph.node[i][inside[i]] for i in several]
    used, place = np.unique(np.concatenate(nodes), return_inverse=True)
    at = np.split(place, np.cumsum([len(n) for n in nodes])[:-1])
    i, t = graph.place[used].T
    product = (problem.X[i, t] @ equal.a.T) * (problem.z[i] @ equal.queries.T)
    product *= problem.head[i][:, None] == equal.head
    return Choice(
        P=product @ span.V,
        nodes=at,
        copies=[rows[i].copies[inside[i]] for i in several],
        label=[int(inside[i][: best[i]].sum()) for i in several],
    )


def _spread(problem: Problem, rows: list[Row], inside: list[Bools], held: list[Floats]) -> tuple[Bools, Floats]:
    members, share = np.zeros(problem.mask.shape, dtype=bool), np.zeros(problem.mask.shape)
    for i, row in enumerate(rows):
        each = np.zeros(len(row.tokens))
        each[inside[i]] = held[i] / row.copies[inside[i]]
        members[i] = row.spread(inside[i].astype(float)) > 0.0
        share[i] = row.spread(each)
    return members, share


def _reason(implied: list[tuple[int, int]], all_of_them: bool, known: bool) -> str:
    out = []
    if implied:
        i, kind = implied[0]
        out.append(
            f"{len(implied)} equalities, such as that of token kind {kind} of sample {i}, follow from contradictions "
            "between different queries or tokens that depend on each other; a linear programme found them, unproved"
        )
    elif not all_of_them:
        out.append(
            "queries or tokens depend on each other: that every token outside can be left behind is not proved, and "
            "with it the least loss; `solve` proves or refutes it"
        )
    if not known:
        out.append("how far the shares are from the exact ones is not known: the loss is too flat inside the faces")
    return "; ".join(out)

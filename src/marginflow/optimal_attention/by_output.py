"""Faces of a loss of values: one convex programme per output (theory 10.2)."""

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, frozen
from marginflow.losses.abstract import AbstractOutputLoss, token_values
from marginflow.optimal_attention.distinct import Row, distinct_rows
from marginflow.optimal_attention.finite_part import Span
from marginflow.optimal_attention.simplex_programme import Programme, solve_programme
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.problem import Problem


RESIDUAL = 1e-7
"""Log-ratios of shares that no W comes nearer to than this are not attainable."""


def faces_by_output(problem: Problem, loss: AbstractOutputLoss, among: Bools | None = None) -> Faces:
    """The faces of `problem`, output by output; those of attention on the tokens in `among` (n, T) where given."""
    rows = distinct_rows(problem, among)
    values = token_values(problem)
    means = [row.mean(values[i]) for i, row in enumerate(rows)]
    members, shares = np.zeros(problem.mask.shape, dtype=bool), np.zeros(problem.mask.shape)
    unique, decided = np.zeros((2, problem.n), dtype=bool)
    error, found = np.full(problem.n, np.inf), []
    for o in range(problem.counts[0]):
        own = np.flatnonzero(problem.output == o)
        optimum = solve_programme(_programme(problem, loss, o, [means[i] for i in own]))
        found.append(optimum)
        parts = np.cumsum([len(rows[i].tokens) for i in own])[:-1]
        for i, p, inside in zip(own, np.split(optimum.p, parts), np.split(optimum.members, parts), strict=True):
            single = inside.sum() == 1 and optimum.decided
            unique[i], decided[i] = optimum.unique or single, optimum.decided
            error[i] = 0.0 if single else optimum.error
            members[i] = rows[i].spread(inside.astype(float)) > 0.0
            shares[i] = rows[i].spread(p / rows[i].copies) if unique[i] else np.where(members[i], np.nan, 0.0)
    known = np.where(members, np.nan_to_num(shares), -1.0)
    reference = np.asarray(known.argmax(axis=1))
    outputs = len(found)
    attainable, finite, decrement, words = _finite(problem, loss, rows, members, shares, reference, unique, error)
    return Faces(
        members=frozen(members),
        shares=frozen(shares),
        unique=frozen(unique),
        decided=frozen(decided),
        gap=float(sum(f.gap for f in found)) / outputs * (1.0 + 1e-12),
        minimal_loss=float(sum(f.value for f in found)) / outputs,
        shares_error=frozen(error),
        attainable=attainable,
        reference=frozen(reference),
        finite=None if finite is None else frozen(finite),
        finite_decrement=decrement,
        loss=loss.word,
        reason=_reason(unique, decided, words),
    )


def _programme(problem: Problem, loss: AbstractOutputLoss, o: int, means: list[Floats]) -> Programme:
    label = None if problem.labels is None else problem.labels[o : o + 1]
    return Programme(
        V=np.concatenate(means),
        row=np.repeat(np.arange(len(means)), [len(m) for m in means]),
        value=lambda u: float(loss.value(u[None], label)[0]),
        gradient=lambda u: loss.gradient(u[None], label)[0],
        terms=lambda u: loss.gradient_terms(u[None], label)[0],
        hessian=lambda u: loss.hessian(u[None], label)[0],
        convex=loss.convex,
        smooth=loss.smooth,
        bend=loss.bend,
    )


def equalities(problem: Problem, rows: list[Row], members: Bools, reference: Ints) -> Constraints:
    """The reference less every other kind of member, row by row, as constraints that are equalities."""
    at = [
        (i, int(t))
        for i, row in enumerate(rows)
        for t in row.tokens
        if members[i, t] and not _same(row, t, reference[i])
    ]
    sample, token = np.array(at, dtype=np.intp).reshape(-1, 2).T
    a = problem.X[sample, reference[sample]] - problem.X[sample, token]
    equal = np.ones(len(at), dtype=bool)
    return Constraints(a, sample, problem.z, token, equal=equal, head=problem.head[sample], heads=problem.counts[1])


def _same(row: Row, one: int, other: int) -> bool:
    return bool(row.kind[one] == row.kind[other])


def _finite(
    problem: Problem,
    loss: AbstractOutputLoss,
    rows: list[Row],
    members: Bools,
    shares: Floats,
    reference: Ints,
    unique: Bools,
    error: Floats,
) -> tuple[bool | None, Floats | None, float, str]:
    """Whether some W has the shares, the least one, its decrement, and a sentence where there is none."""
    if not unique.all():
        return None, None, np.nan, ""
    inside = equalities(problem, rows, members, reference)
    if not len(inside):
        return True, inside.adjoint(np.zeros(0)), 0.0, ""
    span = Span.of(inside)
    wanted = np.log(shares[inside.sample, reference[inside.sample]]) - np.log(shares[inside.sample, inside.token])
    y, off = span.coordinates(wanted)
    doubt = float((error[inside.sample] / shares[inside.sample, inside.token]).max())
    if off > RESIDUAL + 4.0 * doubt:
        words = (
            f"no W has the shares of all rows at once: the nearest logits are off by {off:.2g}, so that the least loss "
            "of the outputs together is above the mean of their least losses"
        )
        return False, None, np.nan, words
    W = span.weights(inside, y)
    attainable = True if span.independent or off <= doubt + 1e-9 else None
    return attainable, W, _decrement(problem, loss, inside, span, members, W), ""


def _decrement(
    problem: Problem, loss: AbstractOutputLoss, inside: Constraints, span: Span, members: Bools, W: Floats
) -> float:
    """Half the squared decrement of the mean loss along the span, with the Hessian's part of first order."""
    heads = W if W.ndim == 3 else W[None]
    s = np.einsum("ntd,nde,ne->nt", problem.X, heads[problem.head], problem.z)
    e = np.where(
        members, np.exp(np.where(members, s, -np.inf) - np.where(members, s, -np.inf).max(axis=1)[:, None]), 0.0
    )
    p = e / e.sum(axis=1, keepdims=True)
    values, outputs = token_values(problem), problem.counts[0]
    each = np.einsum("nt,ntk->nk", p, values)
    u = np.zeros((outputs, values.shape[2]))
    np.add.at(u, problem.output, each)
    # du/dy: every equality lowers the logit of its token alone, by its margin.
    moved = -p[inside.sample, inside.token][:, None] * (values[inside.sample, inside.token] - each[inside.sample])
    J = np.zeros((outputs, values.shape[2], span.B.shape[1]))
    for e_, (i, t) in enumerate(zip(inside.sample, inside.token, strict=True)):
        same = (problem.X[i] == problem.X[i, t]).all(axis=1) & members[i]
        J[problem.output[i]] += same.sum() * moved[e_][:, None] * span.B[e_]
    g = np.einsum("ok,okr->r", loss.gradient(u, problem.labels), J) / outputs
    H = np.einsum("okr,okl,ols->rs", J, loss.hessian(u, problem.labels), J) / outputs
    return float(max(0.5 * g @ np.linalg.lstsq(H, g, rcond=None)[0], 0.0))


def _reason(unique: Bools, decided: Bools, words: str) -> str:
    out = []
    if not unique.all():
        out.append(
            f"the optimum of sample {int(np.flatnonzero(~unique)[0])} is not one point (or is not proved to be), "
            f"{int((~unique).sum())} of {len(unique)} samples: its tokens' values depend on each other, so that its "
            "shares are what training makes them"
        )
    if not decided.all():
        out.append(
            f"the members of sample {int(np.flatnonzero(~decided)[0])} are not proved, {int((~decided).sum())} of "
            f"{len(decided)} samples: a token is on the border of its face"
        )
    return "; ".join([*out, *([words] if words else [])])

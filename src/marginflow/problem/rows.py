"""The constraints that a selection of tokens, or faces of several tokens, put on the weights."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from marginflow.arrays import Bools, Ints
from marginflow.errors import InputError
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.stored import StoredTokens
from marginflow.problem.stored_differences import StoredDifferences, refuse_tiny
from marginflow.threads import over_rows


if TYPE_CHECKING:
    from marginflow.problem.problem import Problem

Against = Literal["all", "worse", "better"]


def rows_of_selection(problem: "Problem", selected: Ints, against: Against) -> Constraints:
    """Selected less every other token, without exact duplicates of the selected one (`Problem.constraints`)."""
    own = problem.scores[np.arange(problem.n), selected][:, None]
    wanted = {"all": problem.mask, "worse": problem.scores < own, "better": problem.scores > own}
    if against not in wanted:
        raise InputError(f"against: got {against!r}; expected 'all', 'worse' or 'better'")
    return _rows(problem, selected, wanted[against], _alike(problem, selected))


def rows_of_faces(problem: "Problem", faces: Faces, against: Against) -> Constraints:
    """Reference less every other token: 0 to members, at least 1 to the rest (`Problem.constraints`)."""
    if faces.members.shape != problem.mask.shape or not (faces.members <= problem.mask).all():
        raise InputError(
            f"faces: got those of {faces.members.shape} tokens; expected {problem.mask.shape}; "
            "compute them from this problem"
        )
    if against != "all":
        raise InputError(f"against: got {against!r} with faces; expected a selection of tokens")
    if not faces.unique.all():
        raise InputError(f"faces: {faces.reason}; expected shares that are one point in every sample")
    rows = _rows(problem, faces.reference, problem.mask, faces.members)
    equal = faces.members[rows.sample, rows.token]
    follows = _follows(problem, faces, rows.sample[equal], rows.token[equal])
    keep = np.ones(len(rows), dtype=bool)
    keep[np.flatnonzero(equal)[follows]] = False
    rows, equal = rows.restrict(keep), equal[keep]
    return Constraints(rows.a, rows.sample, rows.z, rows.token, equal=equal, head=rows.head, heads=rows.heads)


def _follows(problem: "Problem", faces: Faces, sample: Ints, token: Ints) -> Bools:
    """Which equalities follow from those before: their two tokens are level already, under the same query and head.

    In real numbers they say nothing; their rounded differences would say that W is orthogonal to round-off.
    """
    root: dict[bytes, bytes] = {}

    def find(node: bytes) -> bytes:
        while root.setdefault(node, node) != node:
            root[node] = node = root[root[node]]
        return node

    out = np.zeros(len(sample), dtype=bool)
    for e, (i, t) in enumerate(zip(sample, token, strict=True)):
        asked = (problem.z[i] + 0.0).tobytes() + problem.head[i].tobytes()
        one, other = (find(asked + (problem.X[i, place] + 0.0).tobytes()) for place in (faces.reference[i], t))
        out[e] = one == other
        root[one] = other
    return out


def _rows(problem: "Problem", selected: Ints, wanted: Bools, alike: Bools) -> Constraints:
    rows = np.arange(problem.n)
    keep = problem.mask & wanted
    keep[rows, selected] = False
    if problem.stored is not None:
        return _stored_rows(problem, problem.stored, selected, keep, alike)
    X, (i, t) = problem.X, np.nonzero(keep & alike)
    keep[i, t] = (X[i, t] != X[i, selected[i]]).any(axis=1)
    sample, token = np.nonzero(keep)
    a = np.empty((len(sample), X.shape[2]))

    def subtract(part: slice) -> None:
        i = sample[part]
        np.subtract(X[i, selected[i]], X[i, token[part]], out=a[part])

    over_rows(subtract, a)
    head, heads = problem.head[sample], problem.counts[1]
    return Constraints.of_tokens(refuse_tiny(a), sample, problem.z, token, head=head, heads=heads)


def _stored_rows(problem: "Problem", tokens: StoredTokens, selected: Ints, keep: Bools, alike: Bools) -> Constraints:
    """The same of tokens that are not in memory, whose differences stay where the tokens are."""
    alike = alike & keep
    doubtful = np.asarray(alike.any(axis=1))
    if doubtful.any():
        for rows, X in tokens.blocks(doubtful):
            own = X[np.arange(len(X)), selected[rows]][:, None, :]
            keep[rows] &= ~(alike[rows] & (X == own).all(axis=2))
    sample, token = np.nonzero(keep)
    head, heads = problem.head[sample], problem.counts[1]
    return Constraints.of_tokens(StoredDifferences(tokens, selected), sample, problem.z, token, head=head, heads=heads)


def _alike(problem: "Problem", selected: Ints) -> Bools:
    """(n, T) whether a token contributes the same as the selected one of its row."""
    rows = np.arange(problem.n)
    if problem.values is None:
        return np.asarray(problem.scores == problem.scores[rows, selected][:, None])
    return np.asarray((problem.values == problem.values[rows, selected][:, None, :]).all(axis=2))

"""Next-token prediction as a problem: a row per position, which attends to its prefix."""

import warnings
from typing import Any

import numpy as np

from marginflow.arrays import Floats, Ints, as_array, as_floats, is_listed
from marginflow.errors import InputError
from marginflow.problem.checks import as_tokens
from marginflow.problem.problem import Problem


def next_token(sequences: Any, embedding: Any, *, name: str = "", vocabulary: Any = None) -> Problem:
    """A row per (sequence, position): tokens = the prefix, query = its last token, score 1 at the next token, else 0.

    Left out, with a warning that counts them, are positions whose next token has not occurred (under the loss "log"
    theirs is infinite whatever the weights) and those whose prefix is one token, once or repeated.

    Args:
        sequences: lists of token ids 0..K-1, or an array (N, L) padded with -1.
        embedding: (K, d) the vector of each token; of zeros for none of them.
        name: kept for messages and reports.
        vocabulary: (K,) strings for people; the ids when None.

    Raises:
        InputError: ids outside the embedding, padding inside a sequence, two ids with one vector, or no position left.
    """
    E = as_floats("embedding", embedding, 2)
    lines = [_line(i, line, len(E)) for i, line in enumerate(_lines(sequences))]
    _refuse_twins(E, np.unique(np.concatenate(lines)) if lines else np.zeros(0, dtype=np.intp))
    words = [str(i) for i in range(len(E))] if vocabulary is None else [str(word) for word in vocabulary]
    if len(words) != len(E):
        raise InputError(f"vocabulary: got {len(words)} names; expected {len(E)}, one per row of the embedding")
    places = [(i, t) for i, line in enumerate(lines) for t in range(len(line) - 1)]
    new = [(i, t) for i, t in places if lines[i][t + 1] not in lines[i][: t + 1]]
    one = [(i, t) for i, t in places if (lines[i][: t + 1] == lines[i][0]).all()]
    gone = {*new, *one}
    kept = [place for place in places if place not in gone]
    left_out = f"{len(gone)} of {len(places)} positions left out: the next token of {len(new)} has not occurred before"
    if len(gone) > len(new):
        left_out += f", {len(gone) - len(new)} have one token to attend to"
    if not kept:
        raise InputError(f"sequences: {left_out}; expected one whose next token occurs in a prefix of different tokens")
    if gone:
        warnings.warn(f"next_token: {left_out}", stacklevel=3)
    prefixes = [lines[i][: t + 1] for i, t in kept]
    labels = [lines[i][t + 1] for i, t in kept]
    return Problem(
        [E[prefix] for prefix in prefixes],
        np.array([E[prefix[-1]] for prefix in prefixes]),
        [(prefix == label).astype(float) for prefix, label in zip(prefixes, labels, strict=True)],
        name=name,
        token_names=[[words[token] for token in prefix] for prefix in prefixes],
        sample_names=[f"sequence {i}, position {t}" for i, t in kept],
    )


def label_scores(X: Any, labels: Any, mask: Any = None) -> Floats:
    """(n, T) score 1 at the label and at tokens equal to it, 0 elsewhere; `labels` (n,) are positions in the rows.

    `mask` as for `Problem`: no score of padding is 1, and no label is there.

    Raises:
        InputError: other shapes or positions that do not exist.
    """
    X, mask = as_tokens(X, mask)
    raw = as_array("labels_token", labels)
    if raw.dtype.kind not in "iu" or raw.shape != (len(X),):
        raise InputError(
            f"labels_token: got {raw.dtype} of shape {raw.shape}; expected {len(X)} whole numbers, a place a row"
        )
    bad = (raw < 0) | (raw >= X.shape[1])
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(f"labels_token: got {raw[i]} for sample {i}; expected 0..{X.shape[1] - 1}")
    place = raw.astype(np.intp)
    absent = ~mask[np.arange(len(X)), place]
    if absent.any():
        i = int(np.flatnonzero(absent)[0])
        raise InputError(
            f"labels_token: got {raw[i]} for sample {i}, where mask has no token; expected one that exists"
        )
    label = X[np.arange(len(X)), place]
    return np.asarray(((X == label[:, None, :]).all(axis=2) & mask).astype(float))


def _lines(sequences: Any) -> list[Any]:
    if is_listed(sequences):
        return list(sequences)
    raw = as_array("sequences", sequences)
    if raw.ndim != 2:
        raise InputError(f"sequences: got shape {raw.shape}; expected lists of token ids, or (N, L) padded with -1")
    return list(raw)


def _line(i: int, line: Any, size: int) -> Ints:
    raw = as_array(f"sequences[{i}]", line)
    if raw.ndim != 1 or (raw.size and raw.dtype.kind not in "iu"):
        raise InputError(f"sequences[{i}]: got {raw.dtype} of shape {raw.shape}; expected a list of token ids")
    # Before a conversion in which 2^64 - 1 is -1.
    bad = (raw < -1) | (raw >= size)
    if bad.any():
        raise InputError(f"sequences[{i}]: got token {raw[bad][0]}; expected 0..{size - 1}, the rows of the embedding")
    ids = raw.astype(np.intp)
    length = int((ids != -1).sum())
    if (ids[:length] == -1).any():
        raise InputError(f"sequences[{i}]: got -1 before a token; expected padding at the end only")
    return np.asarray(ids[:length])


def _refuse_twins(E: Floats, used: Ints) -> None:
    """Two ids with one vector would be two labels that no weights tell apart."""
    _, first, inverse = np.unique(E[used] + 0.0, axis=0, return_index=True, return_inverse=True)
    twin = first[np.ravel(inverse)] != np.arange(len(used))
    if twin.any():
        j = int(np.flatnonzero(twin)[0])
        raise InputError(
            f"embedding: tokens {used[first[np.ravel(inverse)[j]]]} and {used[j]} have one vector; expected two"
        )

"""What users pass for a problem, checked and brought to one shape: padded tokens, mask and scores."""

from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, as_array, as_floats, is_listed
from marginflow.errors import InputError
from marginflow.problem.masks import MEANING, as_mask, refuse_inverted
from marginflow.problem.stored import StoredTokens, as_stored, sample_blocks


def as_tokens(X: Any, mask: Any) -> tuple[Floats | StoredTokens, Bools]:
    """Padded tokens (n, T, d) and their mask (n, T), from an array or from a list of (T_i, d).

    Those of mapped files and of Dask arrays stay where they are; their numbers are looked at by `refuse_ties`.
    """
    stored = as_stored(X)
    padded: Floats | StoredTokens
    if stored is not None:
        mask = np.ones(X.shape[:2], dtype=bool) if mask is None else as_mask(mask, *X.shape[:2])
        padded = StoredTokens(stored, mask)
        refuse_inverted(padded, mask)
    elif is_listed(X) and mask is None:
        samples = [as_floats(f"X[{i}]", x, 2) for i, x in enumerate(X)]
        if not samples:
            raise InputError("X: got no samples; expected at least one")
        sizes = {x.shape[1] for x in samples}
        if len(sizes) != 1:
            raise InputError(f"X: got token dimensions {sorted(sizes)}; expected the same in every sample")
        lengths = np.array([len(x) for x in samples])
        padded = filled = np.zeros((len(samples), int(lengths.max(initial=0)), sizes.pop()))
        for row, x in zip(filled, samples, strict=True):
            row[: len(x)] = x
        mask = np.arange(filled.shape[1]) < lengths[:, None]
    else:
        raw = as_array("X", X)
        if raw.ndim != 3:
            raise InputError(f"X: got shape {raw.shape}; expected 3 axes: samples, tokens, features")
        if mask is None:
            mask = np.ones(raw.shape[:2], dtype=bool)
        else:
            mask = as_mask(mask, *raw.shape[:2])
            if raw.dtype.kind in "fiu":
                refuse_inverted(raw, mask)
                raw = np.where(mask[:, :, None], raw, raw.dtype.type(0))
        padded = as_floats("X", raw, 3)
    if padded.shape[0] == 0 or padded.shape[2] == 0:
        raise InputError(f"X: got shape {padded.shape}; expected at least one sample and one feature")
    lengths = mask.sum(axis=1)
    if lengths.min() < 2:
        i = int(lengths.argmin())
        raise InputError(
            f"X: got {lengths[i]} token(s) in sample {i}; expected at least 2, "
            "or attention has nothing to choose; drop the sample" + ("" if mask.all() else f" ({MEANING})")
        )
    return padded, mask


def as_signed_scores(X: Floats | StoredTokens, mask: Bools, y: Any, v: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Labels (n,) and head (d,) checked, the scores y_i v'x_il (n, T), and (n,) what rounding can change in a row's."""
    y = as_floats("y", y, 1)
    v = as_floats("v", v, 1)
    if y.shape != (len(mask),):
        raise InputError(f"y: got {len(y)} labels for {len(mask)} samples; expected one per sample")
    if not np.isin(y, (-1.0, 1.0)).all():
        bad = int(np.flatnonzero(~np.isin(y, (-1.0, 1.0)))[0])
        raise InputError(f"y: got {y[bad]:g} for sample {bad}; expected labels -1 or +1")
    if v.shape != (X.shape[2],):
        raise InputError(f"v: got shape {v.shape}; expected ({X.shape[2]},), one weight per feature")
    # A label -1 makes the padding -0.0, which is not what a file of the scores gives back.
    scores, rounding = np.zeros(mask.shape), np.zeros(len(mask))
    for rows, block in sample_blocks(X, check=True):
        scores[rows] = np.where(mask[rows], y[rows, None] * (block * v).sum(axis=2), 0.0)
        rounding[rows] = X.shape[2] * np.finfo(float).eps * (np.abs(block) * np.abs(v)).sum(axis=2).max(axis=1)
    return y, v, scores, rounding


def as_queries(z: Any, n: int) -> Floats:
    """Queries (n, d_z), none of them 0, or so small that squares underflow."""
    z = as_floats("z", z, 2)
    if len(z) != n:
        raise InputError(f"z: got {len(z)} queries for {n} samples; expected one per sample")
    if z.shape[1] == 0:
        raise InputError("z: got queries of dimension 0; expected at least 1")
    size = np.abs(z).max(axis=1)
    if (size == 0.0).any():
        raise InputError(
            f"z: got a zero query for sample {int(size.argmin())}; every logit of that sample "
            "is 0 whatever the weights; drop the sample or add a constant coordinate"
        )
    if (size < 1e-100).any():
        raise InputError(
            f"z: got a query of size {size.min():.3g} for sample {int(size.argmin())}; expected at least 1e-100; "
            "rescale the queries"
        )
    return z


def as_scores(scores: Any, mask: Bools) -> Floats:
    """Scores (n, T), zero where no token exists, from an array or from a list of one row per sample."""
    if is_listed(scores):
        rows = [as_floats(f"scores[{i}]", row, 1) for i, row in enumerate(scores)]
        lengths = mask.sum(axis=1)
        if len(rows) == len(mask) and all(len(r) == t for r, t in zip(rows, lengths, strict=True)):
            padded = np.zeros(mask.shape)
            for out, keep, row in zip(padded, mask, rows, strict=True):
                out[keep] = row
            return padded
        scores = rows if len({len(r) for r in rows}) == 1 else None
        if scores is None:
            raise InputError(
                f"scores: got lengths {[len(r) for r in rows][:8]}; expected {lengths.tolist()[:8]}, "
                "one score per token"
            )
    raw = as_array("scores", scores)
    if raw.shape == mask.shape and raw.dtype.kind in "fiu":
        raw = np.where(mask, raw, raw.dtype.type(0))
    out = as_floats("scores", raw, 2)
    if out.shape != mask.shape:
        raise InputError(f"scores: got shape {out.shape}; expected {mask.shape}, one score per token")
    return out


def refuse_ties(X: Floats | StoredTokens, scores: Floats, mask: Bools, optimal: Ints, rounding: Floats | None) -> None:
    """Refuse a top score shared by different tokens, and samples in which every token is the optimal one."""
    rows = np.arange(len(mask))
    top = scores[rows, optimal][:, None]
    same = np.empty(mask.shape, dtype=bool)
    for part, block in sample_blocks(X, check=True):
        same[part] = (block == block[np.arange(len(block)), optimal[part]][:, None, :]).all(axis=2)
    slack = np.zeros(len(mask)) if rounding is None else rounding
    tied = mask & (top - scores <= slack[:, None]) & ~same
    if tied.any():
        i = int(np.flatnonzero(tied.any(axis=1))[0])
        tokens = sorted({int(optimal[i]), *map(int, np.flatnonzero(tied[i]))})
        raise InputError(
            f"scores: tokens {tokens} of sample {i} differ but tie for the best score "
            f"{scores[i, optimal[i]]:.17g}; expected one optimal token; drop one of them, "
            "or give scores that say which is better"
        )
    _refuse_rows_without_choice((mask & ~(same & (scores == top))).sum(axis=1) == 0)


def refuse_equal_tokens(X: Floats | StoredTokens, mask: Bools) -> None:
    """Refuse samples in which every token is the same."""
    alone = np.empty(len(mask), dtype=bool)
    for part, block in sample_blocks(X, check=True):
        first = block[np.arange(len(block)), mask[part].argmax(axis=1)][:, None, :]
        alone[part] = ~(mask[part] & (block != first).any(axis=2)).any(axis=1)
    _refuse_rows_without_choice(alone)


def _refuse_rows_without_choice(alone: Bools) -> None:
    if alone.any():
        i = int(np.flatnonzero(alone)[0])
        raise InputError(f"X: every token of sample {i} is the same; attention has nothing to choose; drop the sample")


def as_selection(selection: Any, mask: Bools) -> Ints:
    """Token indices (n,) of tokens that exist in `mask` (n, T)."""
    n, T = mask.shape
    selected = np.asarray(selection)
    if selected.shape != (n,) or selected.dtype.kind not in "iu":
        raise InputError(
            f"selection: got {selected.dtype} of shape {selected.shape}; expected {n} token indices, one per sample"
        )
    selected = selected.astype(np.intp)
    inside = (0 <= selected) & (selected < T)
    if not inside.all() or not mask[np.arange(n), selected].all():
        bad = np.flatnonzero(~inside | ~mask[np.arange(n), np.clip(selected, 0, T - 1)])[0]
        raise InputError(f"selection: sample {bad} has no token {selected[bad]}")
    return selected

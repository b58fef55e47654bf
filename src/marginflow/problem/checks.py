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

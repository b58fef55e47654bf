"""Which tokens exist: masks, lengths and masked arrays as people have them; other conventions where they show."""

from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, as_array
from marginflow.errors import InputError


MEANING: Final = "expected mask= of (n, T) booleans, True where a token exists"


def as_mask(mask: Any, n: int, T: int) -> Bools:
    """The (n, T) mask of `n` samples padded to `T` tokens, True where a token exists.

    Args:
        mask: (n, T) booleans or 0/1; or (n,) whole numbers, the lengths of the samples.

    Raises:
        InputError: another shape, lengths beyond T, or numbers such as the 0 and -inf that are added to logits.
    """
    given = as_array("mask", mask)
    if given.ndim == 1 and given.dtype.kind in "iu" and len(given) == n and given.max(initial=0) > 1:
        if given.min() < 0 or given.max() > T:
            i = int(np.flatnonzero((given < 0) | (given > T))[0])
            raise InputError(f"mask: got length {given[i]} for sample {i}; expected lengths between 2 and T = {T}")
        return np.asarray(np.arange(T) < given[:, None])
    if given.dtype.kind == "f" and (given <= 0).all() and (given < -1).any():
        raise InputError(
            f"mask: got numbers between {given.min():g} and 0, as are added to logits; {MEANING}; "
            "pass mask = (added == 0)"
        )
    if given.dtype.kind in "iuf" and np.isin(given, (0, 1)).all():
        given = given.astype(bool)
    if given.dtype != bool or given.shape != (n, T):
        raise InputError(f"mask: got {given.dtype} of shape {given.shape}; {MEANING}, here ({n}, {T}){_advice(given)}")
    return np.array(given)


def hidden_as_mask(X: Any, scores: Any, mask: Any) -> tuple[Any, Any, Any]:
    """X, scores and mask where tokens hidden by masked arrays are hidden by the mask instead.

    Raises:
        InputError: a token of which only some features are hidden, or arrays that do not hide the same tokens.
    """
    marks: dict[str, Bools] = {}
    gone = _hidden(X, 3)
    if gone is not None:
        whole = gone.all(axis=2)
        if (gone.any(axis=2) & ~whole).any():
            i, token = map(int, np.argwhere(gone.any(axis=2) & ~whole)[0])
            raise InputError(
                f"X: got a masked array that hides some features of token {token} of sample {i}; "
                "expected tokens that are hidden as a whole or not at all"
            )
        marks["X"] = np.asarray(~whole)
    gone = _hidden(scores, 2)
    if gone is not None:
        marks["scores"] = np.asarray(~gone)
    if not marks:
        return X, scores, mask
    if mask is not None:
        shape = next(iter(marks.values())).shape
        marks["mask"] = as_mask(mask, *shape)
    (first, keep), *others = marks.items()
    for name, other in others:
        if other.shape != keep.shape or not np.array_equal(other, keep):
            raise InputError(f"{name}: got other tokens hidden than {first} hides; expected the same in both")
    return X.data if "X" in marks else X, scores.data if "scores" in marks else scores, keep


def refuse_inverted(raw: Any, mask: Bools) -> None:
    """Refuse a mask that keeps what looks like padding, one vector over and over, and hides the tokens.

    Raises:
        InputError: in every sample that hides anything, all kept tokens are equal and a hidden one differs.
    """
    partly = np.flatnonzero(~mask.all(axis=1) & mask.any(axis=1))
    for i in partly:
        kept, hidden = raw[i][mask[i]], raw[i][~mask[i]]
        if (kept != kept[0]).any() or not (hidden != kept[0]).any():
            return
    if len(partly):
        first = int(partly[0])
        raise InputError(
            f"mask: got a mask that keeps {int(mask[first].sum())} equal tokens in sample {first} and hides others; "
            f"{MEANING}; it looks inverted: pass ~mask"
        )


def _hidden(value: Any, ndim: int) -> Bools | None:
    if isinstance(value, np.ma.MaskedArray) and value.ndim == ndim:
        gone = np.ma.getmaskarray(value)
        return gone if gone.any() else None
    return None


def _advice(given: Any) -> str:
    if given.ndim > 2 and given.shape[-1] == given.shape[-2]:
        return "; of a mask per query, take the row of the query that is asked about"
    if given.ndim > 2:
        return "; drop the axes of length 1"
    return ""

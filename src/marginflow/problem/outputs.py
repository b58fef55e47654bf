"""Which output each row adds to, which head's weights it uses, and what the outputs are compared with."""

from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, as_array, as_floats, frozen, is_listed
from marginflow.errors import InputError


def as_index(what: str, given: Any, n: int) -> Ints:
    """(n,) which `what` ("output", "head") each row belongs to: 0, 1, ..., every one of them used.

    Args:
        what: the name of the argument.
        given: (n,) whole numbers; None means a row each ("output") or the same for all ("head").

    Raises:
        InputError: other shapes or types, or numbers that leave one out.
    """
    if given is None:
        return frozen(np.arange(n) if what == "output" else np.zeros(n, dtype=np.intp))
    raw = as_array(what, given)
    if raw.dtype.kind not in "iu" or raw.shape != (n,):
        raise InputError(
            f"{what}: got {raw.dtype} of shape {raw.shape}; expected {n} whole numbers, the {what} of each row"
        )
    index = raw.astype(np.intp)
    present = np.unique(index)
    if not np.array_equal(present, np.arange(len(present))):
        missing = next(i for i in range(len(present) + 1) if i not in present)
        raise InputError(
            f"{what}: got numbers {present[:8].tolist()}{'...' if len(present) > 8 else ''}, without {missing}; "
            f"expected 0, 1, 2, ..., each the {what} of at least one row"
        )
    return frozen(index)


def as_values(values: Any, mask: Bools) -> Floats:
    """Values (n, T, k), zero where no token exists, from an array, also (n, T), or from a list of one (T_i, k) a row.

    Raises:
        InputError: shapes that do not fit the tokens, or numbers that are not finite.
    """
    if is_listed(values):
        rows = [as_floats(f"values[{i}]", row) for i, row in enumerate(values)]
        lengths = mask.sum(axis=1)
        sizes = {row.shape[1:] for row in rows}
        if len(rows) == len(mask) and all(r.ndim == 2 and len(r) == t for r, t in zip(rows, lengths, strict=True)):
            if len(sizes) != 1:
                raise InputError(f"values: got {sorted(s[0] for s in sizes)} numbers a token; expected the same in all")
            padded = np.zeros((*mask.shape, *next(iter(sizes))))
            for out, keep, row in zip(padded, mask, rows, strict=True):
                out[keep] = row
            values = padded
        else:
            values = _rectangle(rows, lengths)
    raw = as_array("values", values)
    if raw.ndim == 2:
        raw = raw[:, :, None]
    if raw.ndim != 3 or raw.shape[:2] != mask.shape or raw.shape[2] == 0:
        raise InputError(
            f"values: got shape {raw.shape}; expected {(*mask.shape, 'k')}, k numbers per token".replace("'", "")
        )
    if raw.dtype.kind in "fiu":
        raw = np.where(mask[:, :, None], raw, raw.dtype.type(0))
    return as_floats("values", raw, 3)


def as_labels(labels: Any, outputs: int, k: int) -> Ints | Floats:
    """Class labels (outputs,) int, or targets (outputs, k) float64; which of the two the type and shape say.

    Raises:
        InputError: none, other shapes, labels that are not whole numbers, or labels outside 0..k-1.
    """
    wanted = f"{outputs} whole numbers, a label per output, or targets ({outputs}, {k})"
    if labels is None:
        raise InputError(f"labels: got none with values; expected {wanted}")
    raw = as_array("labels", labels)
    if raw.shape == (outputs,) and k == 1:
        raw = raw[:, None]
    if raw.shape == (outputs, k):
        return frozen(as_floats("labels", raw, 2))
    if raw.shape != (outputs,) or raw.dtype.kind not in "iu":
        raise InputError(f"labels: got {raw.dtype} of shape {raw.shape}; expected {wanted}")
    index = raw.astype(np.intp)
    outside = (index < 0) | (index >= k)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"labels: got {index[bad]} for output {bad}; expected 0..{k - 1}, one of the k = {k} numbers of a value"
        )
    return frozen(index)


def _rectangle(rows: list[Floats], lengths: Ints) -> Floats:
    if len({row.shape for row in rows}) != 1:
        raise InputError(
            f"values: got shapes {[row.shape for row in rows][:6]}; expected {lengths.tolist()[:6]} tokens "
            "with k numbers each"
        )
    return np.array(rows)

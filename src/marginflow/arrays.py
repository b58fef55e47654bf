"""Exact conversion of what users pass into float64 arrays, or one clear error."""

from typing import Any

import numpy as np
import numpy.typing as npt

from marginflow.errors import InputError


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Singles = npt.NDArray[np.floating]
"""Of whichever precision is enough."""

LARGEST = 1e100
"""Entries beyond this are refused: a product of four of them would leave the range of float64."""


def as_floats(name: str, value: Any, ndim: int | None = None) -> Floats:
    """Return `value` as a C-ordered float64 array that equals it exactly; a copy, never a view.

    Integers and float32 are converted because that loses nothing; an integer or an extended-precision
    number that float64 cannot hold, a complex number, a string or an object is refused.

    Raises:
        InputError: not numeric, not exactly representable, not finite, too large, or not of `ndim` axes.
    """
    try:
        raw = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"{name}: got rows of different lengths ({error}); expected a rectangular array of numbers"
        ) from None
    if raw.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: got an array of type {raw.dtype}; expected real numbers; convert it to float64 first"
        )
    out = np.array(raw, dtype=np.float64, order="C")
    if not np.isfinite(out).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
        raise InputError(f"{name}: got {out[where]} at index {where}; expected finite numbers")
    exact = np.array_equal(out.astype(raw.dtype), raw) and (raw.dtype.kind == "f" or _fits(raw))
    if not exact:
        raise InputError(
            f"{name}: got {raw.dtype} values that float64 cannot hold exactly; round them to float64 first"
        )
    if out.size and float(np.abs(out).max()) > LARGEST:
        raise InputError(
            f"{name}: got an entry of size {np.abs(out).max():.3g}; expected at most {LARGEST:g}; rescale the data"
        )
    if ndim is not None and out.ndim != ndim:
        raise InputError(f"{name}: got shape {out.shape}; expected {ndim} axes")
    return out


def _fits(raw: npt.NDArray[Any]) -> bool:
    if raw.size == 0:
        return True
    return max(abs(int(raw.min())), abs(int(raw.max()))) <= 2**53


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mark `array` read-only, so that results and problems cannot be changed by accident."""
    array.setflags(write=False)
    return array

"""Exact conversion of what users pass into float64 arrays, or one clear error."""

from collections.abc import Sequence
from typing import Any, Final

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


def as_array(name: str, value: Any) -> npt.NDArray[Any]:
    """`value` as a plain NumPy array of numbers or booleans, whatever library it came from.

    Tensors of torch are detached and brought to the CPU; bfloat16 and its narrower kin become wider floats, which
    is exact. Both are known by the names of their modules, so that neither library is imported here.

    Raises:
        InputError: rows of different lengths, Python objects, or masked entries, which a plain array would show.
    """
    value = _plain(name, value)
    try:
        raw = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        if is_listed(value):
            raise InputError(
                f"{name}: got rows of different lengths ({error}); expected a rectangular array of numbers"
            ) from None
        raise InputError(
            f"{name}: got {_kind(value)}, which NumPy cannot read ({error}); expected an array of numbers"
        ) from None
    if raw.dtype.type.__module__ == "ml_dtypes":
        return raw.astype(np.float64)
    if raw.dtype == object:
        raise InputError(
            f"{name}: got Python objects ({_kind(raw.flat[0] if raw.size else value)}); expected real numbers; "
            "samples of different lengths are a list of arrays, or one array padded to the longest with "
            "mask= (n, T), True where a token exists"
        )
    return raw


def as_floats(name: str, value: Any, ndim: int | None = None) -> Floats:
    """Return `value` as a C-ordered float64 array that equals it exactly; a copy, never a view.

    Integers and float32 are converted because that loses nothing; an integer or an extended-precision
    number that float64 cannot hold, a complex number, a string or an object is refused.

    Raises:
        InputError: not numeric, masked, not exactly representable, not finite, too large, or not of `ndim` axes.
    """
    raw = as_array(name, value)
    if raw.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: got an array of type {raw.dtype}; expected real numbers; convert it to float64 first"
        )
    out = np.array(raw, dtype=np.float64, order="C")
    # The largest of a NaN is one: no array of truth values is made of what may be gigabytes.
    largest = max(float(out.max()), -float(out.min())) if out.size else 0.0
    if not np.isfinite(largest):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
        raise InputError(f"{name}: got {out[where]} at index {where}; expected finite numbers")
    exact = raw.dtype == np.float64 or _same(out, raw)
    if not exact:
        raise InputError(
            f"{name}: got {raw.dtype} values that float64 cannot hold exactly; round them to float64 first"
        )
    if largest > LARGEST:
        raise InputError(f"{name}: got an entry of size {largest:.3g}; expected at most {LARGEST:g}; rescale the data")
    if ndim is not None and out.ndim != ndim:
        raise InputError(f"{name}: got shape {out.shape}; expected {ndim} axes")
    return out


def is_listed(value: Any) -> bool:
    """Whether `value` is a list or tuple, one entry a sample, rather than an array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Mark `array` read-only, so that results and problems cannot be changed by accident."""
    array.setflags(write=False)
    return array


def largest_in_rows(x: Floats) -> Floats:
    """(k,) the largest absolute value in each row of `x` (k, d), 0 where d is; no array of absolute values is made."""
    return np.asarray(np.maximum(x.max(axis=1, initial=0.0), -x.min(axis=1, initial=0.0)))


def starts_of_runs(owner: Ints) -> Ints:
    """Where runs of one `owner` (C,), whole numbers from 0, begin."""
    return np.flatnonzero(np.diff(owner, prepend=-1))


def places_in_runs(owner: Ints) -> Ints:
    """(C,) how far each entry stands from where its run of one `owner` begins."""
    starts = starts_of_runs(owner)
    return np.arange(len(owner)) - np.repeat(starts, np.diff(starts, append=len(owner)))


def _plain(name: str, value: Any) -> Any:
    """Tensors of torch and masked arrays that hide nothing as arrays, also inside lists; the rest as it is."""
    if isinstance(value, np.ma.MaskedArray):
        hidden = int(np.ma.getmaskarray(value).sum())
        if hidden:
            raise InputError(
                f"{name}: got a masked array that hides {hidden} entries; expected every number to be there; "
                "tokens that do not exist are given by mask= (n, T), True where a token exists"
            )
        return value.data
    if any(kind.__module__.partition(".")[0] == "torch" for kind in type(value).__mro__):
        return _from_torch(name, value)
    if is_listed(value) and not all(isinstance(item, int | float) for item in value):
        return [_plain(name, item) for item in value]
    return value


def _from_torch(name: str, tensor: Any) -> Any:
    try:
        tensor = tensor.detach().cpu()
        if "float" in str(tensor.dtype) and str(tensor.dtype) not in _TORCH_FLOATS:
            tensor = tensor.float()
        return tensor.numpy()
    except (TypeError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{name}: got a tensor that cannot be read ({error}); expected a dense one, or an array"
        ) from None


_TORCH_FLOATS: Final = ("torch.float64", "torch.float32", "torch.float16")
"""NumPy has no other; float32 holds the numbers of bfloat16 and of the types of eight bits."""


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} {kind.__name__}"


def _same(out: Floats, raw: npt.NDArray[Any]) -> bool:
    return np.array_equal(out.astype(raw.dtype), raw) and (raw.dtype.kind == "f" or _fits(raw))


def _fits(raw: npt.NDArray[Any]) -> bool:
    if raw.size == 0:
        return True
    return max(abs(int(raw.min())), abs(int(raw.max()))) <= 2**53

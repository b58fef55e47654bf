"""Arrays inside the page: base64 of little-endian typed arrays, as small as their use allows."""

import base64
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt


KINDS: Final = {"f4": "<f4", "u1": "<u1", "u2": "<u2"}


def pack(array: npt.NDArray[Any], kind: str = "f4") -> dict[str, Any]:
    """`array` as {"k": kind, "s": shape, "b": base64}; float32 keeps the seven digits that a figure can use.

    Numbers beyond float32 become infinite and are not drawn.
    """
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(array, dtype=KINDS[kind])
    return {"k": kind, "s": list(data.shape), "b": base64.b64encode(data.tobytes()).decode("ascii")}


def packed_bytes(shape: tuple[int, ...], kind: str = "f4") -> int:
    """The characters that `pack` would need for an array of this shape."""
    return 4 * math.ceil(math.prod(shape) * np.dtype(KINDS[kind]).itemsize / 3)


def plain(value: float | None) -> float | None:
    """A JSON number, None where there is none."""
    return None if value is None or not math.isfinite(value) else float(value)

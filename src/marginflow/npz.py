"""Files that hold arrays: written whole or not at all, read without trusting a byte of them."""

import io
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.file_format import conversion


LARGEST_FILE: Final = 4 * 2**30
"""Bytes that the arrays of one file may take once unpacked; more is refused before anything is allocated."""

LARGEST_SMALL: Final = 64 * 2**20
LARGEST_GROWTH: Final = 50
"""Files may unpack to LARGEST_SMALL bytes, or to LARGEST_GROWTH times their size where that is more. Arrays of
numbers hardly shrink (`np.savez` does not compress at all); what shrinks a thousandfold are zeros."""

LIMIT_VARIABLE: Final = "MARGINFLOW_LARGEST_FILE"
"""Environment variable: bytes that replace both limits, for a file that you trust."""

_LARGEST_RATIO: Final = 1100
"""Deflate packs at most 1032:1 (zlib's technical notes), so a higher claim is forged."""

_KINDS: Final = "biufUS"

_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    ValueError,
)


def write_npz(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Write `arrays` to `path` atomically: a reader sees the old file or the new one, never a half.

    Args:
        path: the exact file name; no suffix is added.
        arrays: booleans, integers, floats or strings of any shape.

    Raises:
        InputError: the folder is missing or cannot be written, or an array holds Python objects.
    """
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in plain.items():
        if array.dtype.kind not in _KINDS:
            raise InputError(f"{name}: got type {array.dtype}; expected numbers or strings to save")
    with whole_file(path) as draft, open(draft, "xb") as file:
        np.savez(file, allow_pickle=False, **plain)


def read_npz(path: str | os.PathLike[str], *, largest: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an .npz file written by `write_npz` or `numpy.savez`.

    Nothing is unpickled, and nothing is unpacked before its claimed size has been checked against the file's
    own directory and the limit.

    Args:
        path: the file.
        largest: bytes that the arrays may take; by default what the environment variable MARGINFLOW_LARGEST_FILE
            says, else 64 MiB or 50 times the file where that is more, and never more than 4 GiB.

    Raises:
        InputError: no such file, not an .npz file, damaged, pickled objects inside, or too large.
    """
    other = conversion(path)
    if other is not None:
        raise InputError(other)
    try:
        with open(path, "rb") as file:
            if not file.seekable():
                raise InputError(f"{path}: got a stream; expected an .npz file on disk")
            if largest is None:
                largest = _limit(os.fstat(file.fileno()).st_size)
            with zipfile.ZipFile(file) as archive:
                return _read_members(path, archive, largest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); expected an .npz file") from None
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an .npz file, or damaged ({error}); save it again") from None


def require(path: str | os.PathLike[str], arrays: Mapping[str, Any], *names: str) -> None:
    """Raise one InputError that names every array of `names` missing in `arrays`."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{path}: holds {held(arrays)}; expected also arrays {missing}; was it saved by this tool?")


def held(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """What a file of this tool holds, for messages about the wrong one."""
    kind = str(arrays.get("kind", ""))
    if kind in ("watch", "audit"):
        return "a record of a training run" if kind == "watch" else "an audit"
    for name, word in (("flow", "a saved run"), ("dual", "a saved solution"), ("X", "a problem")):
        if name in arrays:
            return word
    return f"arrays {sorted(arrays)[:6]}"


def _limit(size: int) -> int:
    """Bytes that the arrays of a file of `size` bytes may take."""
    said = os.environ.get(LIMIT_VARIABLE)
    if said is None:
        return min(LARGEST_FILE, max(LARGEST_SMALL, LARGEST_GROWTH * size))
    try:
        limit = int(float(said))
    except (ValueError, OverflowError):
        limit = 0
    if limit < 1:
        raise InputError(f"{LIMIT_VARIABLE}: got {said!r}; expected a number of bytes such as 8e9")
    return limit


def _read_members(path: Any, archive: zipfile.ZipFile, largest: int) -> dict[str, npt.NDArray[Any]]:
    members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise InputError(f"{path}: holds two arrays of one name; save it again")
    total = sum(member.file_size for member in members)
    if total > largest:
        most = max(members, key=lambda member: member.file_size)
        raise InputError(
            f"{path}: {os.path.getsize(path):,} bytes that unpack to {total:,}, most of them in {most.filename}; "
            f"expected at most {largest:,} in all; if you trust the file, set {LIMIT_VARIABLE}={total}"
        )
    for member in members:
        if member.file_size > _LARGEST_RATIO * max(member.compress_size, 1):
            raise InputError(
                f"{path}: array {member.filename} claims {member.file_size:,} bytes unpacked from "
                f"{member.compress_size:,}, more than its compression can do; it is damaged or forged"
            )
    return {_name(path, member): _read_array(path, archive, member) for member in members}


def _name(path: Any, member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise InputError(f"{path}: holds {member.filename!r}; expected arrays (.npy) only")
    return member.filename[: -len(".npy")]


def _unreadable(dtype: np.dtype[Any]) -> str:
    """What a type is that is not read, and what to save instead."""
    if dtype.hasobject:
        return (
            "holds pickled Python objects, which are never loaded; expected numbers; samples of different lengths "
            "are saved padded to the longest, with an array mask (n, T), True where a token exists"
        )
    if dtype.kind == "V" and dtype.names is None and dtype.itemsize <= 2:
        kind = "bfloat16" if dtype.itemsize == 2 else "an eight-bit float"
        return (
            f"has type {dtype}, as NumPy saves {kind} and other types it does not know; expected numbers; "
            "save it as X.astype(np.float32), or tensor.float().numpy()"
        )
    return f"has type {dtype}; expected numbers or strings; save each field as an array of its own"


def _read_array(path: Any, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    data = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(data)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise InputError(f"{path}: array {member.filename} has .npy version {version}; expected 1.0 or 2.0")
    shape, _, dtype = read_header(data)
    if dtype.kind not in _KINDS:
        raise InputError(f"{path}: array {member.filename} {_unreadable(dtype)}")
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    if min(shape, default=0) < 0 or size != len(data.getbuffer()) - data.tell():
        raise InputError(f"{path}: array {member.filename} is damaged (its header does not fit its size)")
    data.seek(0)
    array = np.asarray(np.lib.format.read_array(data, allow_pickle=False))
    if dtype.kind == "U" and array.size and dtype.itemsize:
        # NumPy reads code points that do not exist, and Python then fails on them with a SystemError.
        points = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.max() > sys.maxunicode:
            raise InputError(f"{path}: array {member.filename} is damaged (characters that do not exist)")
    return array

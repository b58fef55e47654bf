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


LARGEST_FILE: Final = 4 * 2**30
"""Bytes that the arrays of one file may take once unpacked; more is refused before anything is allocated."""

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


def read_npz(path: str | os.PathLike[str], *, largest: int = LARGEST_FILE) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an .npz file written by `write_npz` or `numpy.savez`.

    Nothing is unpickled, and nothing is unpacked before its claimed size has been checked against the file's
    own directory and `largest` bytes.

    Raises:
        InputError: no such file, not an .npz file, damaged, pickled objects inside, or too large.
    """
    try:
        with open(path, "rb") as file:
            if not file.seekable():
                raise InputError(f"{path}: got a stream; expected an .npz file on disk")
            with zipfile.ZipFile(file) as archive:
                return _read_members(path, archive, largest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); expected an .npz file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an .npz file, or damaged ({error}); save it again") from None


def require(path: str | os.PathLike[str], arrays: Mapping[str, Any], *names: str) -> None:
    """Raise one InputError that names every array of `names` missing in `arrays`."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{path}: got arrays {sorted(arrays)}; expected also {missing}; was it saved by this tool?")


def _read_members(path: Any, archive: zipfile.ZipFile, largest: int) -> dict[str, npt.NDArray[Any]]:
    members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise InputError(f"{path}: holds two arrays of one name; save it again")
    total = 0
    for member in members:
        total += member.file_size
        if total > largest or member.file_size > _LARGEST_RATIO * max(member.compress_size, 1):
            raise InputError(
                f"{path}: array {member.filename} claims {member.file_size:,} bytes unpacked; "
                f"expected at most {largest:,} in all"
            )
    return {_name(path, member): _read_array(path, archive, member) for member in members}


def _name(path: Any, member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise InputError(f"{path}: holds {member.filename!r}; expected arrays (.npy) only")
    return member.filename[: -len(".npy")]


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
        raise InputError(
            f"{path}: array {member.filename} has type {dtype}; expected numbers or strings "
            "(pickled objects are never loaded)"
        )
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

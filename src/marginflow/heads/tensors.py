"""Rows of tensors in safetensors files, one file or shards, read as float64 without loading the rest."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.heads.config import read_json


_FLOATS: Final = ("F64", "F32", "F16", "BF16")
_HEADER: Final = 100_000_000
"""Bytes that the format allows a header."""


@dataclass(frozen=True)
class Files:
    """Which file holds which tensor.

    Attributes:
        folder: where they are.
        home: tensor name -> file name.
    """

    folder: Path
    home: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Every tensor, sorted."""
        return sorted(self.home)


def find_files(path: Path) -> Files:
    """The weights of the model at `path`: a folder, a .safetensors file, or an index of shards.

    Raises:
        InputError: no such path, pickled weights, no weights, an index that is none, or a missing shard.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected a model's folder or its .safetensors file")
    if path.is_file():
        if path.name.endswith(".index.json"):
            return _sharded(path)
        if path.suffix != ".safetensors":
            raise InputError(f"{path}: expected .safetensors weights; {_convert(path)}")
        return Files(path.parent, dict.fromkeys(_keys(path), path.name))
    single = path / "model.safetensors"
    if single.is_file():
        return find_files(single)
    indices, files = sorted(path.glob("*.safetensors.index.json")), sorted(path.glob("*.safetensors"))
    if len(indices) == 1:
        return _sharded(indices[0])
    if len(files) == 1:
        return find_files(files[0])
    if files:
        raise InputError(f"{path}: holds {len(files)} .safetensors files and no index; name the file to read")
    pickled = [p for p in sorted(path.iterdir()) if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5")]
    if pickled:
        raise InputError(f"{path}: holds {pickled[0].name} but no .safetensors; {_convert(pickled[0])}")
    raise InputError(f"{path}: holds no .safetensors file; expected a model's folder")


class Reader:
    """Opens the files of a model one at a time, so that only one is mapped; a context manager."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._open: tuple[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go: pages read through a map count as memory until then."""
        if self._open is not None:
            self._open[1].__exit__(None, None, None)
            self._open = None

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(int(n) for n in self._slice(name).get_shape())

    def read(self, name: str, rows: slice | None = None, columns: slice | None = None) -> Floats:
        """Rows, or columns, of a tensor as float64, which holds every value exactly.

        Raises:
            InputError: no such tensor, a type without one value an entry, or a value that is not finite.
        """
        part = self._slice(name)
        kind = part.get_dtype()
        if kind not in _FLOATS:
            raise InputError(
                f"{self._files.folder}: tensor {name} has type {kind}; expected {', '.join(_FLOATS)}: "
                "quantised weights need their scales; save a dequantised copy"
            )
        full = slice(None)
        try:
            found = part[rows or full] if len(part.get_shape()) == 1 else part[rows or full, columns or full]
        except _errors() as error:
            raise InputError(f"{self._files.folder}: tensor {name} cannot be read ({error})") from None
        out = np.asarray(found).astype(np.float64)
        if not np.isfinite(out).all():
            raise InputError(f"{self._files.folder}: tensor {name} holds values that are not finite; is it damaged?")
        return out

    def _slice(self, name: str) -> Any:
        home = self._files.home.get(name)
        if home is None:
            raise InputError(f"{self._files.folder}: tensor {name} is missing; is the checkpoint whole?")
        if self._open is None or self._open[0] != home:
            self.close()
            self._open = (home, _opened(self._files.folder / home))
        try:
            return self._open[1].get_slice(name)
        except _errors() as error:
            raise InputError(f"{self._files.folder / home}: tensor {name} cannot be read ({error})") from None


def _sharded(index: Path) -> Files:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index}: weight_map is no map of tensor names to files; download the index again")
    for name, file in weight_map.items():
        if not isinstance(file, str) or file != os.path.basename(file) or not file.endswith(".safetensors"):
            raise InputError(f"{index}: {name[:60]} points to {str(file)[:60]!r}; expected a .safetensors file beside")
    for file in sorted(set(weight_map.values())):
        if not (index.parent / file).is_file():
            raise InputError(f"{index.parent}: shard {file} is missing; download it")
    shards = {file: set(_keys(index.parent / file)) for file in sorted(set(weight_map.values()))}
    lost = next((name for name, file in weight_map.items() if name not in shards[file]), None)
    if lost is not None:
        raise InputError(f"{index}: tensor {lost[:60]} is not in {weight_map[lost]}; download both again")
    return Files(index.parent, dict(weight_map))


def _keys(path: Path) -> list[str]:
    opened = _opened(path)
    try:
        return list(opened.keys())
    finally:
        opened.__exit__(None, None, None)


def _opened(path: Path) -> Any:
    try:
        import ml_dtypes  # noqa: F401  NumPy knows bfloat16 from here on
        from safetensors import safe_open
    except ImportError:
        raise InputError("audit: safetensors and ml_dtypes are missing; pip install 'marginflow[audit]'") from None
    _check_header(path)
    try:
        opened: Any = safe_open(str(path), framework="numpy")
        return opened.__enter__()
    except _errors() as error:
        raise InputError(f"{path}: not a safetensors file, or damaged ({error}); download it again") from None


def _check_header(path: Path) -> None:
    """The header's length fits the file: the library allocates nothing on the word of eight bytes."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            claimed = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if size < 10 or claimed > min(size - 8, _HEADER):
        raise InputError(
            f"{path}: not a safetensors file, or truncated (a header of {claimed:,} bytes in {size:,}); "
            "download it again"
        )


def _errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (SafetensorError, OSError, ValueError, MemoryError, OverflowError)


def _convert(path: Path) -> str:
    return (
        "pickled weights can run code, so they are never loaded here; convert them once where you trust them: "
        'python -c "import torch; from safetensors.torch import save_file; '
        f"found = torch.load('{path.name}', map_location='cpu', weights_only=True); "
        "save_file({k: v.clone() for k, v in found.items()}, 'model.safetensors')\""
    )

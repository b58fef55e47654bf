"""Saved records: one .npz, no pickle, written whole; what a file says is checked before it is believed."""

import os
from typing import Any, Final

import numpy as np

from marginflow.errors import InputError
from marginflow.npz import held, read_npz, require, write_npz
from marginflow.watch.figures import WATCHED
from marginflow.watch.record import LAST_STEP, Record, one_line


FORMAT: Final = 1
_ARRAYS: Final = ("figures", "step", "loss", "names", "laws", "formulas", "values", "singular", "components")


def save_record(record: Record, path: str | os.PathLike[str]) -> None:
    """Write `record`, so that `load_record` gives the same numbers.

    Raises:
        InputError: nothing was recorded, or the file cannot be written.
    """
    if not len(record):
        raise InputError("save: nothing was recorded yet; there is nothing to save")
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "kind": "watch",
        "figures": list(WATCHED),
        "model": record.model,
        "note": record.note,
        "step": record.step,
        "loss": record.loss,
        "names": list(record.names),
        "laws": list(record.laws),
        "formulas": list(record.formulas),
        "values": record.values,
        "singular": record.singular,
        "components": record.components,
    }
    if record.cores is not None:
        arrays["cores"] = record.cores
    write_npz(path, **arrays)


def load_record(path: str | os.PathLike[str]) -> Record:
    """Read a saved record.

    Raises:
        InputError: not such a file, of a newer format, or with arrays that do not fit each other.
    """
    arrays = read_npz(path)
    if str(arrays.get("kind", "")) != "watch":
        raise InputError(f"{path}: holds {held(arrays)}; expected a record of `marginflow.torch.watch` or a Recorder")
    require(path, arrays, "format", *_ARRAYS)
    version, figures = arrays["format"], [str(name) for name in arrays["figures"].ravel()]
    if version.shape != () or version.dtype.kind not in "iu" or int(version) != FORMAT or figures != list(WATCHED):
        raise InputError(f"{path}: was saved by another version (format {str(version)[:20]}); upgrade marginflow")
    count, heads = arrays["step"].size, arrays["names"].size
    shapes: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "step": ("iu", (count,)),
        "loss": ("f", (count,)),
        "names": ("U", (heads,)),
        "laws": ("U", (heads,)),
        "formulas": ("U", (heads,)),
        "values": ("f", (count, heads, len(WATCHED))),
        "singular": ("f", (count, heads, None)),
        "components": ("iu", (heads,)),
    }
    if "cores" in arrays:
        shapes["cores"] = ("f", (count, heads, 2, None, None))
    for name, (kind, shape) in shapes.items():
        array = arrays[name]
        fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
        if not fits or array.dtype.kind not in kind:
            raise InputError(f"{path}: array {name} is {array.dtype} {array.shape}; expected {shape}")
    # As Python's integers: differences of unsigned ones wrap round, and those above 2^63 become negative.
    steps, names = arrays["step"].tolist(), arrays["names"].tolist()
    if not count or not heads or steps != sorted(set(steps)) or not 0 <= steps[0] <= steps[-1] <= LAST_STEP:
        raise InputError(f"{path}: {count} records of {heads} heads; expected some, with rising steps")
    if len(set(names)) != heads or not all(name.isprintable() and name for name in names):
        raise InputError(f"{path}: got names {names[:4]}; expected a name of its own for each head")
    finite = [arrays["singular"], *([arrays["cores"]] if "cores" in arrays else [])]
    if not all(np.isfinite(array).all() for array in finite) or (arrays["singular"] < 0.0).any():
        raise InputError(f"{path}: singular values or cores are no numbers that a head has; is the file damaged?")
    if arrays["components"].min() < 1 or arrays["components"].max() > arrays["singular"].shape[2]:
        raise InputError(f"{path}: components and singular do not fit; is the file damaged?")
    return Record(
        step=arrays["step"].astype(np.intp),
        loss=arrays["loss"].astype(np.float64),
        names=tuple(str(name) for name in arrays["names"]),
        laws=tuple(one_line(f"{path}: laws", str(word)) for word in arrays["laws"]),
        formulas=tuple(one_line(f"{path}: formulas", str(text)) for text in arrays["formulas"]),
        values=arrays["values"].astype(np.float64),
        singular=arrays["singular"].astype(np.float64),
        components=arrays["components"].astype(np.intp),
        cores=arrays["cores"].astype(np.float32) if "cores" in arrays else None,
        model=one_line(f"{path}: model", str(arrays.get("model", ""))),
        note=one_line(f"{path}: note", str(arrays.get("note", ""))),
    )

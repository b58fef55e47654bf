"""Saved audits: one .npz, no pickle, written whole; what a file says is checked before it is believed."""

import os
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.audit.audit import Audit
from marginflow.audit.least import Thrift
from marginflow.audit.measured import MeasuredHead
from marginflow.audit.on_data import DATA_FIGURES, HeadOnData
from marginflow.errors import InputError
from marginflow.heads.figures import FIGURES
from marginflow.npz import read_npz, require, write_npz


FORMAT: Final = 1
_WORDS: Final = ("source", "family", "law", "formula", "inputs")
_ARRAYS: Final = ("layer", "head", "values", "rotation", "iid", "singular", "balance_by_law", "pairs", "at_offsets")
_DATA: Final = ("data_values", "data_low", "data_high", "data_rotation", "data_iid", "thrift")


def save_audit(audit: Audit, path: str | os.PathLike[str]) -> None:
    """Write `audit`, so that `load_audit` gives the same numbers.

    Raises:
        InputError: nothing was measured, or the file cannot be written.
    """
    if not audit.heads:
        raise InputError("save: no head was measured; there is nothing to save")
    heads, data = audit.heads, audit.on_data
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "kind": "audit",
        **{name: getattr(audit, name) for name in _WORDS},
        "figures": list(FIGURES),
        "controls": audit.controls,
        "seed": audit.seed,
        "interrupted": audit.interrupted,
        "offsets": np.array(audit.offsets, dtype=np.float64),
        "layer": [h.layer for h in heads],
        "head": [h.head for h in heads],
        "values": np.array([h.values for h in heads]),
        "rotation": np.array([h.rotation for h in heads]),
        "iid": np.array([h.iid for h in heads]),
        "singular": np.array([h.singular for h in heads]),
        "balance_by_law": [h.balance_by_law for h in heads],
        "pairs": np.array([h.pairs for h in heads]),
        "at_offsets": np.array([h.offsets for h in heads]),
        "bound": [h.bound for h in heads],
    }
    if data:
        arrays |= {
            "data_place": [[d.layer, d.head] for d in data],
            "data_values": np.array([d.values for d in data]),
            "data_low": np.array([d.low for d in data]),
            "data_high": np.array([d.high for d in data]),
            "data_rotation": np.array([d.rotation for d in data]),
            "data_iid": np.array([d.iid for d in data]),
            "thrift": np.array([[_thrift(d.thrift), _thrift(d.thrift_rotation)] for d in data]),
        }
    write_npz(path, **arrays)


def load_audit(path: str | os.PathLike[str]) -> Audit:
    """Read a saved audit.

    Raises:
        InputError: not such a file, of a newer format, or with arrays that do not fit each other.
    """
    arrays = read_npz(path)
    require(path, arrays, "format", "kind", "figures", "controls", "seed", "offsets", "bound", *_WORDS, *_ARRAYS)
    if str(arrays["kind"]) != "audit":
        raise InputError(f"{path}: got kind {str(arrays['kind'])[:20]!r}; expected a file saved by `marginflow audit`")
    version, figures = arrays["format"], [str(name) for name in arrays["figures"].ravel()]
    if version.shape != () or int(version) != FORMAT or figures != list(FIGURES):
        raise InputError(f"{path}: was saved by another version (format {version}); audit the checkpoint again")
    count = len(np.atleast_1d(arrays["layer"]))
    draws, offsets = int(arrays["controls"]), arrays["offsets"]
    shapes = {
        "layer": (count,),
        "head": (count,),
        "bound": (count,),
        "balance_by_law": (count,),
        "values": (count, len(FIGURES)),
        "rotation": (count, draws, len(FIGURES)),
        "iid": (count, draws, len(FIGURES)),
        "singular": (count, None),
        "pairs": (count, None, 2),
        "at_offsets": (count, None, 5),
        "offsets": (None,),
    }
    for name, shape in shapes.items():
        _check(path, name, arrays[name], shape)
    if len(arrays["pairs"][0]) and len(arrays["at_offsets"][0]) != len(offsets):
        raise InputError(f"{path}: at_offsets and offsets do not fit; is the file damaged?")
    heads = tuple(
        MeasuredHead(
            layer=int(arrays["layer"][i]),
            head=int(arrays["head"][i]),
            values=arrays["values"][i],
            rotation=arrays["rotation"][i],
            iid=arrays["iid"][i],
            singular=arrays["singular"][i],
            balance_by_law=float(arrays["balance_by_law"][i]),
            pairs=arrays["pairs"][i],
            offsets=arrays["at_offsets"][i],
            bound=float(arrays["bound"][i]),
        )
        for i in range(count)
    )
    return Audit(
        source=str(arrays["source"]),
        family=str(arrays["family"]),
        law=str(arrays["law"]),
        formula=str(arrays["formula"]),
        heads=heads,
        offsets=tuple(offsets.tolist()),
        controls=draws,
        seed=int(arrays["seed"]),
        on_data=_on_data(path, arrays) if "data_place" in arrays else (),
        inputs=str(arrays["inputs"]),
        interrupted=bool(arrays.get("interrupted", False)),
    )


def _on_data(path: Any, arrays: dict[str, Any]) -> tuple[HeadOnData, ...]:
    require(path, arrays, *_DATA)
    count, width = len(arrays["data_place"]), len(DATA_FIGURES)
    shapes = {
        "data_place": (count, 2),
        "data_values": (count, width),
        "data_low": (count, width),
        "data_high": (count, width),
        "data_rotation": (count, None, width),
        "data_iid": (count, None, width),
        "thrift": (count, 2, 4),
    }
    for name, shape in shapes.items():
        _check(path, name, arrays[name], shape)
    return tuple(
        HeadOnData(
            layer=int(arrays["data_place"][i, 0]),
            head=int(arrays["data_place"][i, 1]),
            values=arrays["data_values"][i],
            low=arrays["data_low"][i],
            high=arrays["data_high"][i],
            rotation=arrays["data_rotation"][i],
            iid=arrays["data_iid"][i],
            thrift=_thrift_of(arrays["thrift"][i, 0]),
            thrift_rotation=_thrift_of(arrays["thrift"][i, 1]),
        )
        for i in range(count)
    )


def _thrift(found: Thrift | None) -> list[float]:
    nan = float("nan")
    return [nan] * 4 if found is None else [found.nuclear, found.frobenius, found.constraints, found.queries]


def _thrift_of(row: Floats) -> Thrift | None:
    return None if np.isnan(row).any() else Thrift(float(row[0]), float(row[1]), int(row[2]), int(row[3]))


def _check(path: Any, name: str, array: Any, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(s is None or s == n for s, n in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: array {name} is {array.dtype} {array.shape}; expected numbers {shape}")

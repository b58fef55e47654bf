"""The layers' inputs that somebody's forward pass made, read from an .npz; large files are sampled."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.errors import InputError
from marginflow.npz import read_npz


_LAYER: Final = re.compile(r"layer(\d+)")


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What the attention layers of a model saw.

    Attributes:
        layers: layer -> (n, T, D) float64 inputs of its key and query projections.
        mask: (n, T) which tokens exist.
        asking: (n, T) which of them count as queries for the rank on data.
        samples: (n,) rows of the file that are here.
    """

    layers: Mapping[int, Floats]
    mask: Bools
    asking: Bools
    samples: Any


def read_inputs(
    path: str | os.PathLike[str], *, layers: int, samples: int, seed: int, positions: int = 0
) -> LayerInputs:
    """Read `layer0`, `layer3`, ... and `mask` from an .npz file.

    Args:
        layers: how many the model has.
        samples: at most so many rows, drawn with `seed` without replacement, in the file's order.
        positions: so many random tokens of each sample are its queries for the rank on data; 0 for all.

    Raises:
        InputError: not such a file, a layer that the model lacks, shapes that do not fit, or numbers that are not
            finite.
    """
    arrays = read_npz(path)
    found = {int(match[1]): name for name in arrays if (match := _LAYER.fullmatch(name))}
    unknown = sorted(set(arrays) - set(found.values()) - {"mask", "tokens"})
    if not found or unknown:
        raise InputError(f"{path}: got arrays {sorted(arrays)[:8]}; expected layer0, layer1, ... and mask, tokens")
    if max(found) >= layers:
        raise InputError(f"{path}: has layer{max(found)}; the checkpoint has layers 0 to {layers - 1}")
    shape = arrays[found[min(found)]].shape
    for name in found.values():
        array = arrays[name]
        if array.ndim != 3 or array.shape[:2] != shape[:2] or 0 in array.shape or array.dtype.kind not in "fiu":
            raise InputError(
                f"{path}: {name} is {array.dtype} {array.shape}; expected numbers (n, T, D), n and T alike"
            )
    mask = np.asarray(arrays.get("mask", np.ones(shape[:2], dtype=bool)))
    if mask.shape != shape[:2] or not np.isin(mask, (0, 1)).all():
        raise InputError(f"{path}: mask is {mask.dtype} {mask.shape}; expected booleans {shape[:2]}")
    mask = mask.astype(bool)
    if (mask.sum(axis=1) < 2).any():
        raise InputError(f"{path}: mask leaves sample {int((mask.sum(axis=1) < 2).argmax())} fewer than 2 tokens")
    if "tokens" in arrays and arrays["tokens"].shape[:2] != shape[:2]:
        raise InputError(f"{path}: tokens is {arrays['tokens'].shape}; expected {shape[:2]}")
    kept = np.arange(shape[0])
    if shape[0] > samples:
        kept = np.sort(np.random.default_rng(seed).choice(shape[0], samples, replace=False))
    chosen = {layer: _finite(path, name, arrays[name][kept], mask[kept]) for layer, name in sorted(found.items())}
    return LayerInputs(chosen, mask[kept], _asking(mask[kept], positions, seed), kept)


def _asking(mask: Bools, positions: int, seed: int) -> Bools:
    if not positions:
        return mask
    place = np.where(mask, np.random.default_rng([seed, 2]).random(mask.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return mask & (place < positions)


def _finite(path: Any, name: str, array: Any, mask: Bools) -> Floats:
    """float64, padding set to 0: what stands there is nobody's input."""
    out = np.where(mask[..., None], array.astype(np.float64), 0.0)
    if not np.isfinite(out).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite where mask says that tokens exist")
    return out

"""The angles of rotary positions from config.json, in the old flat keys and in `rope_parameters`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.heads.layouts import Layout


_KINDS: Final = ("default", "linear", "llama3")


def angles_of(config: Mapping[str, Any], layout: Layout, path: Path, width: int, layer: int) -> Floats:
    """(p,) radians per position of each pair of a head of `width` rows in `layer`.

    Raises:
        InputError: a base or share that is no number in range, or a scaling whose angles depend on the length.
    """
    rope = _rope(config, layer)
    base = _number(rope, config, path, 1e4, "rope_theta", "rotary_emb_base")
    turned = 2 * (_turned(rope, config, layout, path, width) // 2)
    if not 0 < turned <= width:
        raise InputError(f"{path}: got {turned} rotary rows for a head of {width}; expected 2 to {width}")
    angles = np.asarray(base ** (-np.arange(0, turned, 2) / turned))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in _KINDS:
        raise InputError(
            f"{path}: got rotary scaling {kind!r}; expected one of {', '.join(_KINDS)}: "
            "under others the angles or the scale depend on the length of the text"
        )
    if kind == "default":
        return angles
    factor = _number(rope, {}, path, 1.0, "factor")
    return angles / factor if kind == "linear" else _llama3(angles, factor, rope, path)


def _turned(rope: Mapping[str, Any], config: Mapping[str, Any], layout: Layout, path: Path, width: int) -> int:
    """How many rows of a head turn: from a count (GPT-J) or a share (GPT-NeoX, Phi-3)."""
    if layout.family == "gptj":
        return int(_number({}, config, path, width, "rotary_dim"))
    return int(width * _number(rope, config, path, 1.0, "partial_rotary_factor", "rotary_pct"))


def _rope(config: Mapping[str, Any], layer: int) -> Mapping[str, Any]:
    """The parameters that hold in `layer`: some models turn sliding and full layers by different angles."""
    found = config.get("rope_parameters")
    kinds = config.get("layer_types")
    if isinstance(found, dict) and isinstance(kinds, list) and layer < len(kinds):
        own = found.get(kinds[layer]) if isinstance(kinds[layer], str) else None
        if isinstance(own, dict):
            return own
    if isinstance(found, dict):
        return found
    scaling = config.get("rope_scaling")
    flat = dict(scaling) if isinstance(scaling, dict) else {}
    local = config.get("rope_local_base_freq")
    if local is not None and _slides(config, layer):
        return {"rope_theta": local}
    return flat


def _slides(config: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer of the flat form of Gemma 3 has a sliding window."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and layer < len(kinds):
        return bool(kinds[layer] == "sliding_attention")
    period = config.get("sliding_window_pattern", 6)
    return not isinstance(period, int) or period < 1 or bool((layer + 1) % period)


def _llama3(angles: Floats, factor: float, rope: Mapping[str, Any], path: Path) -> Floats:
    """Slow pairs divided by `factor`, fast ones kept, a ramp between (Llama 3.1's published configuration)."""
    low = _number(rope, {}, path, 1.0, "low_freq_factor")
    high = _number(rope, {}, path, 4.0, "high_freq_factor")
    length = _number(rope, {}, path, 8192.0, "original_max_position_embeddings")
    if high <= low:
        raise InputError(f"{path}: got high_freq_factor {high:g}, low_freq_factor {low:g}; expected high above low")
    turns = length * angles / (2.0 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray((1.0 - kept) * angles / factor + kept * angles)


def _number(rope: Mapping[str, Any], config: Mapping[str, Any], path: Path, otherwise: float, *names: str) -> float:
    for source in (rope, config):
        for name in names:
            value = source.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
                    raise InputError(f"{path}: got {name} = {value!r}; expected a positive number")
                return float(value)
    return float(otherwise)

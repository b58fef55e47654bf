"""config.json: head counts, scale and rotary angles under the names that families use for them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.heads.layouts import Layout


_LARGEST: Final = 10_000_000
"""Bytes of a config.json; real ones have some thousands."""

_HEADS: Final = ("num_attention_heads", "n_head", "n_heads")
_LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers")
_WIDTH: Final = ("hidden_size", "n_embd", "d_model", "dim")


def read_config(path: Path) -> dict[str, Any]:
    """The object in `path`; of a model with several towers, its text part.

    Raises:
        InputError: missing, not JSON, not an object, or the weights are quantised.
    """
    found = read_json(path)
    text = found.get("text_config")
    if isinstance(text, dict):
        found = {k: v for k, v in found.items() if k in ("model_type", "quantization_config")} | text
    if found.get("quantization_config"):
        raise InputError(
            f"{path}: the weights are quantised; expected float32, float16 or bfloat16; save a dequantised copy"
        )
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        InputError: it cannot be read, is too large, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); expected the model's folder with its config.json"
        ) from None
    if len(data) > _LARGEST:
        raise InputError(f"{path}: got more than {_LARGEST:,} bytes; expected a small JSON file")
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({str(error)[:80]}); download it again") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: got a JSON {type(found).__name__}; expected an object")
    return found


@dataclass(frozen=True, eq=False)
class Shape:
    """What config.json says of the attention of one model.

    Attributes:
        layers: how many distinct layers of weights.
        heads, key_heads: query heads a layer, and heads of keys they share.
        width: rows of one head.
        hidden: columns, the width of the layer's input.
        cap: soft cap of the logits, None without.
        eps: what a QK-norm adds to the mean square.
        window: tokens back that a query sees, itself included, one a layer; None for all.
    """

    layers: int
    heads: int
    key_heads: int
    width: int
    hidden: int
    cap: float | None
    eps: float
    window: tuple[int | None, ...]


def shape_of(config: Mapping[str, Any], layout: Layout, path: Path) -> Shape:
    """Head counts of a model of this layout.

    Raises:
        InputError: a count is missing, is no positive integer, or does not divide.
    """
    heads = _count(config, path, *_HEADS)
    hidden = _count(config, path, *_WIDTH)
    layers = _count(config, path, *_LAYERS)
    if layout.family == "albert":
        layers = _count({"num_hidden_groups": 1, **config}, path, "num_hidden_groups")
        layers *= _count({"inner_group_num": 1, **config}, path, "inner_group_num")
    if config.get("head_dim") is None and hidden % heads:
        raise InputError(f"{path}: got {heads} heads for a width of {hidden}; expected a number that divides it")
    width = _count(config, path, "head_dim") if config.get("head_dim") is not None else hidden // heads
    key_heads = _key_heads(config, layout, path, heads)
    if heads % key_heads:
        raise InputError(f"{path}: got {key_heads} key heads for {heads} query heads; expected a number that divides")
    cap = config.get("attn_logit_softcapping")
    eps = config.get("rms_norm_eps", 1e-6)
    return Shape(
        layers=layers,
        heads=heads,
        key_heads=key_heads,
        width=width,
        hidden=hidden,
        cap=None if cap is None else _positive(cap, path, "attn_logit_softcapping"),
        eps=_positive(eps, path, "rms_norm_eps"),
        window=_windows(config, layers),
    )


def scale_of(config: Mapping[str, Any], layout: Layout, path: Path, width: int, layer: int) -> float:
    """What the dot product is multiplied by in `layer`.

    Raises:
        InputError: a scalar that is not positive.
    """
    if layout.family == "gpt2":
        scale = width**-0.5 if config.get("scale_attn_weights", True) else 1.0
        return scale / (layer + 1) if config.get("scale_attn_by_inverse_layer_idx") else scale
    if layout.family == "mpt":
        given = _attention(config).get("softmax_scale")
        return width**-0.5 if given is None else _positive(given, path, "softmax_scale")
    if config.get("query_pre_attn_scalar") is not None:
        return _positive(config["query_pre_attn_scalar"], path, "query_pre_attn_scalar") ** -0.5
    return width**-0.5


def unsupported(config: Mapping[str, Any], layout: Layout) -> str:
    """Why a head of this model is not the bilinear form that the layout says; "" when it is."""
    attention = _attention(config)
    if attention.get("clip_qkv") is not None:
        return "its keys and queries are clipped (clip_qkv)"
    if attention.get("qk_ln"):
        return "its QK-norm spans all heads of a layer (qk_ln)"
    if layout.family == "bert" and config.get("position_embedding_type", "absolute") != "absolute":
        return "its positions enter the dot product (position_embedding_type)"
    return ""


def has_alibi(config: Mapping[str, Any], layout: Layout) -> bool:
    """Whether logits fall with the distance by a slope per head."""
    if layout.family == "mpt":
        return bool(_attention(config).get("alibi", True))
    return bool(config.get("alibi")) if layout.alibi == "config" else bool(layout.alibi)


def slopes_of(config: Mapping[str, Any], layout: Layout, path: Path, heads: int) -> Floats:
    """(heads,) the slopes of ALiBi (arXiv 2108.12409, section 3): 2^(-8/h), 2^(-16/h), ... for a power of two h.

    Zero without ALiBi.

    Raises:
        InputError: a largest exponent that is not positive.
    """
    if not has_alibi(config, layout):
        return np.zeros(heads)
    given = _attention(config).get("alibi_bias_max") if layout.family == "mpt" else None
    steepest = 8.0 if given is None else _positive(given, path, "alibi_bias_max")
    whole = 2 ** math.floor(math.log2(heads))
    first = 2.0 ** (-steepest / whole * np.arange(1, whole + 1))
    rest = 2.0 ** (-steepest / (2 * whole) * np.arange(1, 2 * (heads - whole), 2))
    found = np.concatenate([first, rest])
    # Falcon adds them before it scales.
    return found / math.sqrt(_count(config, path, *_WIDTH) / heads) if layout.family == "falcon" else found


def _key_heads(config: Mapping[str, Any], layout: Layout, path: Path, heads: int) -> int:
    if layout.family == "falcon":
        # Without the new architecture `num_kv_heads` means nothing: one key head is shared, or each has its own.
        if config.get("new_decoder_architecture"):
            return _count({"num_kv_heads": heads} | dict(config), path, "num_kv_heads")
        return 1 if config.get("multi_query", True) else heads
    if config.get("num_key_value_heads") is None:
        return heads
    return _count(config, path, "num_key_value_heads")


def _windows(config: Mapping[str, Any], layers: int) -> tuple[int | None, ...]:
    window, kinds = config.get("sliding_window"), config.get("layer_types")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return (None,) * layers
    if isinstance(kinds, list) and len(kinds) >= layers:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds[:layers])
    return (window,) * layers


def _attention(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found = config.get("attn_config")
    return found if isinstance(found, dict) else {}


def _count(config: Mapping[str, Any], path: Path, *names: str) -> int:
    for name in names:
        value = config.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 10**7:
                raise InputError(f"{path}: got {name} = {value!r}; expected a positive integer")
            return value
    raise InputError(f"{path}: has none of {', '.join(names)}; expected the config.json of the model")


def _positive(value: Any, path: Path, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value < math.inf):
        raise InputError(f"{path}: got {name} = {value!r}; expected a positive number")
    return float(value)

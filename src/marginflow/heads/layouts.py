"""Where each family keeps its query and key rows: one row per family.

Every row is compared with the model's own dot-product inputs: `tests/heads/torch` on the model's code,
`tests/heads` on arrays stored from it. A row without that test does not ship.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from marginflow.heads.rotary import Pairing


Order = Literal["separate", "q|k|v", "head(q,k,v)", "group(q..q,k,v)", "falcon"]


@dataclass(frozen=True)
class Layout:
    """One family.

    Attributes:
        family: the word of `model_type` in config.json.
        query, key: names of the two weights, `{i}` the layer; the same name where they are stored as one.
        order: how query, key and value rows follow each other in one weight.
        columns: the weight is stored transposed (GPT-2's Conv1D).
        rotary: how rows pair up, None without rotary positions.
        norms: names of the query and key gains of a QK-norm over a head's rows.
        unit_gains: gains are stored minus one (Gemma).
        alibi: logits fall linearly with the distance; "config" asks the key `alibi`.
        causal: a query sees the tokens up to its own.
        defaults: what config.json may leave out.
        also: other words of `model_type` with the same layout.
        refused: why this family cannot be read as bilinear heads; "" when it can.
    """

    family: str
    query: str
    key: str
    order: Order = "separate"
    columns: bool = False
    rotary: Pairing | None = None
    norms: tuple[str, str] | None = None
    unit_gains: bool = False
    alibi: bool | Literal["config"] = False
    causal: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    refused: str = ""


def _same(name: str) -> tuple[str, str]:
    return name, name


_SELF: Final = ("layers.{i}.self_attn.q_proj", "layers.{i}.self_attn.k_proj")
_NORMS: Final = ("layers.{i}.self_attn.q_norm", "layers.{i}.self_attn.k_norm")
_BERT: Final = ("encoder.layer.{i}.attention.self.query", "encoder.layer.{i}.attention.self.key")
_ALBERT: Final = "encoder.albert_layer_groups.{group}.albert_layers.{inner}.attention."
_ACROSS: Final = "its QK-norm spans all heads of a layer, so that heads depend on each other"

LAYOUTS: Final = (
    Layout("llama", *_SELF, rotary="halves"),
    Layout("mistral", *_SELF, rotary="halves", defaults={"num_key_value_heads": 8}),
    Layout("qwen2", *_SELF, rotary="halves"),
    Layout("qwen3", *_SELF, rotary="halves", norms=_NORMS, defaults={"head_dim": 128}),
    Layout(
        "gemma2",
        *_SELF,
        rotary="halves",
        defaults={"head_dim": 256, "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0},
    ),
    Layout(
        "gemma3_text",
        *_SELF,
        rotary="halves",
        norms=_NORMS,
        unit_gains=True,
        defaults={"head_dim": 256, "query_pre_attn_scalar": 256},
        also=("gemma3",),
    ),
    Layout("phi3", *_same("layers.{i}.self_attn.qkv_proj"), order="q|k|v", rotary="halves"),
    Layout("olmo2", *_SELF, rotary="halves", refused=_ACROSS),
    Layout("gpt2", *_same("h.{i}.attn.c_attn"), order="q|k|v", columns=True),
    Layout("gptj", "h.{i}.attn.q_proj", "h.{i}.attn.k_proj", rotary="neighbours", defaults={"rotary_dim": 64}),
    Layout(
        "gpt_neox",
        *_same("layers.{i}.attention.query_key_value"),
        order="head(q,k,v)",
        rotary="halves",
        defaults={"rotary_pct": 0.25},
    ),
    Layout("bloom", *_same("h.{i}.self_attention.query_key_value"), order="head(q,k,v)", alibi=True),
    Layout(
        "falcon",
        *_same("h.{i}.self_attention.query_key_value"),
        order="falcon",
        rotary="halves",
        alibi="config",
        also=("RefinedWeb", "RefinedWebModel"),
    ),
    Layout("mpt", *_same("blocks.{i}.attn.Wqkv"), order="q|k|v", alibi=True),
    Layout("opt", "decoder.layers.{i}.self_attn.q_proj", "decoder.layers.{i}.self_attn.k_proj"),
    Layout("bert", *_BERT, causal=False),
    Layout("roberta", *_BERT, causal=False),
    Layout("distilbert", "layer.{i}.attention.q_lin", "layer.{i}.attention.k_lin", causal=False),
    Layout(
        "vit",
        "encoder.layer.{i}.attention.attention.query",
        "encoder.layer.{i}.attention.attention.key",
        causal=False,
    ),
    Layout("albert", _ALBERT + "query", _ALBERT + "key", causal=False),
)
"""One line per family; `model_type` decides, names only where it is missing."""


def layout_of(word: str) -> Layout | None:
    """The row whose family, or other word, is `word`."""
    return next((row for row in LAYOUTS if word == row.family or word in row.also), None)

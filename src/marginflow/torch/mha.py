"""nn.MultiheadAttention from the arguments of its own function: its rows, and the logits of its softmax."""

import inspect
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from marginflow.errors import InputError


@dataclass(frozen=True, eq=False)
class MultiHead:
    """Where its heads' rows are.

    Attributes:
        key, query: (weight, bias or None, first row of the weight, first entry of the bias) of each side.
        count, width: heads, and rows of each.
        scale: 1/sqrt(width).
        inputs: (samples, tokens, D) of keys and of queries.
    """

    key: tuple[Any, Any, int, int]
    query: tuple[Any, Any, int, int]
    count: int
    width: int
    scale: float
    inputs: tuple[Any, Any]


@cache
def _signature(func: Any) -> inspect.Signature:
    return inspect.signature(func)


def multi_head(func: Any, args: Any, kwargs: Any) -> tuple[Any, MultiHead]:
    """(logits (n, H, S, T), rows) of a call of torch.nn.functional.multi_head_attention_forward.

    Raises:
        InputError: the logits are not those of the probabilities that the function itself returns.
    """
    bound = _signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    a = bound.arguments
    query, key = (x.unsqueeze(1) if x.ndim == 2 else x for x in (a["query"], a["key"]))
    E, H = query.shape[-1], a["num_heads"]
    m = E // H
    bias = a["in_proj_bias"]
    if a["use_separate_proj_weight"]:
        sides = (a["k_proj_weight"], bias, 0, E), (a["q_proj_weight"], bias, 0, 0)
    else:
        sides = (a["in_proj_weight"], bias, E, E), (a["in_proj_weight"], bias, 0, 0)
    rows = []
    for x, (weight, shift, first, first_bias) in zip((key, query), sides, strict=True):
        found = torch.nn.functional.linear(
            x, weight[first : first + E], None if shift is None else shift[first_bias : first_bias + E]
        )
        rows.append(found.detach().double())
    k, q = rows
    if a["bias_k"] is not None:
        k = torch.cat([k, a["bias_k"].detach().double().expand(1, k.shape[1], E)])
    if a["add_zero_attn"]:
        k = torch.cat([k, torch.zeros(1, k.shape[1], E, dtype=k.dtype, device=k.device)])
    q, k = (x.reshape(x.shape[0], -1, H, m).permute(1, 2, 0, 3) for x in (q, k))
    logits = q @ k.transpose(-1, -2) / math.sqrt(m)
    extra = k.shape[-2] - key.shape[0]
    logits = _masked(logits, a["attn_mask"], extra)
    padding = a["key_padding_mask"]
    if padding is not None:
        padding = padding[None] if padding.ndim == 1 else padding
        logits = _masked(logits, padding[:, None, None], extra)
    _check(func, bound, logits)
    heads = MultiHead(
        sides[0],
        sides[1],
        H,
        m,
        1.0 / math.sqrt(m),
        (key.transpose(0, 1), query.transpose(0, 1)),
    )
    return logits, heads


def _masked(logits: Any, mask: Any, extra: int) -> Any:
    """`logits` (n, H, S, T + extra) under a mask of the first T tokens, in PyTorch's sense: True is masked."""
    if mask is None:
        return logits
    if mask.ndim == 3:
        mask = mask.reshape(-1, logits.shape[1], *mask.shape[1:])
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=logits.dtype, device=mask.device).masked_fill(mask, -math.inf)
    return logits + torch.nn.functional.pad(mask.double(), (0, extra))


def _check(func: Any, bound: Any, logits: Any) -> None:
    asked = dict(bound.arguments)
    asked |= {"need_weights": True, "average_attn_weights": False, "dropout_p": 0.0, "training": False}
    if asked["attn_mask"] is not None:
        asked["is_causal"] = False
    own = func(**asked)[1].double()
    ours = torch.softmax(logits, dim=-1).reshape(own.shape)
    near = 1e-4 if asked["query"].dtype.itemsize >= 4 else 0.05
    if not torch.allclose(torch.nan_to_num(ours), torch.nan_to_num(own), atol=near):
        raise InputError("watch: nn.MultiheadAttention does not compute what its arguments say; it cannot be watched")

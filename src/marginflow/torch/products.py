"""Dot products as people write them in PyTorch, brought to one form: (..., S, m) queries and (..., T, m) keys."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final


FUSED: Final = ("scaled_dot_product_attention",)
SOFTMAX: Final = ("softmax",)
LINEAR: Final = ("linear",)
SUM: Final = ("add", "__add__", "__iadd__", "add_")
PRODUCT: Final = ("matmul", "__matmul__", "__rmatmul__", "bmm", "baddbmm", "einsum", "addmm", "mm")
"""Names of functions, of torch, of tensors and of torch.nn.functional alike."""


def factors(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """(queries (..., S, m), keys (..., T, m)) of a call whose result is (..., S, T); None for other calls."""
    if name == "einsum":
        return _einsum(args)
    if name == "baddbmm":
        left, right = (args[1] if len(args) > 1 else kwargs["batch1"]), (args[2] if len(args) > 2 else kwargs["batch2"])
    else:
        left, right = args[0], (args[1] if len(args) > 1 else next(iter(kwargs.values())))
    if name == "__rmatmul__":
        left, right = right, left
    if left.ndim < 2 or right.ndim < 2:
        return None
    return left, right.transpose(-1, -2)


def _einsum(args: Sequence[Any]) -> tuple[Any, Any] | None:
    """Two operands, one contracted letter, the last two letters of the result queries and tokens."""
    operands = args[1] if len(args) == 2 and isinstance(args[1], list | tuple) else args[1:]
    equation = args[0].replace(" ", "") if isinstance(args[0], str) else ""
    inputs, arrow, out = equation.partition("->")
    sides = inputs.split(",")
    if not arrow or len(sides) != 2 or len(operands) != 2 or "." in equation or len(out) < 2:
        return None
    contracted = [c for c in sides[0] if c in sides[1] and c not in out]
    if len(contracted) != 1 or any(len(set(side)) != len(side) for side in sides):
        return None
    row, column, lead = out[-2], out[-1], out[:-2]
    if row not in sides[0]:
        sides, operands = sides[::-1], operands[::-1]
    found = []
    for side, operand, own in zip(sides, operands, (row, column), strict=True):
        order = [*lead, own, contracted[0]]
        if sorted(order) != sorted(side):
            return None
        found.append(operand.permute([side.index(c) for c in order]))
    return found[0], found[1]


def fused_logits(torch: Any, q: Any, k: Any, mask: Any, causal: bool, scale: float | None) -> tuple[Any, Any, float]:
    """(logits, keys, scale) of scaled_dot_product_attention: float64, keys repeated for grouped heads."""
    q, k = q.detach().double(), k.detach().double()
    if k.ndim >= 3 and q.ndim >= 3 and k.shape[-3] != q.shape[-3]:
        k = k.repeat_interleave(q.shape[-3] // k.shape[-3], dim=-3)
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    logits = factor * (q @ k.transpose(-1, -2))
    if causal:
        mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if mask is None:
        return logits, k, factor
    if mask.dtype == torch.bool:
        return logits.masked_fill(~mask, -math.inf), k, factor
    return logits + mask.double(), k, factor

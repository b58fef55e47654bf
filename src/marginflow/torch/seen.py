"""One interception during a probe: the projections, and every dot product that a softmax follows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from marginflow.torch.mha import multi_head
from marginflow.torch.products import FUSED, LINEAR, PRODUCT, SOFTMAX, SUM, factors, fused_logits


@dataclass(eq=False)
class Projection:
    """A parameter applied to inputs.

    Attributes:
        weight, bias: parameters of the model; bias None without.
        columns: the weight is (D, N) rather than (N, D).
        input: (..., D).
        output: (..., N), bias in.
    """

    weight: Any
    bias: Any
    columns: bool
    input: Any
    output: Any


@dataclass(eq=False)
class Attended:
    """One softmax over tokens and the dot product before it.

    Attributes:
        module: the innermost module it happened in.
        logits: (..., S, T) as they go into the softmax.
        queries, keys: (..., S, m) and (..., T, m) as they go into the dot product; None where there was none.
        scale: what the fused function multiplies by; None where the model does that itself.
        given: the projections since the last dot product.
        heads: of nn.MultiheadAttention, its rows instead of projections; else None.
    """

    module: str
    logits: Any
    queries: Any = None
    keys: Any = None
    scale: float | None = None
    given: list[Projection] = field(default_factory=list)
    heads: Any = None


class Seen(TorchFunctionMode):  # type: ignore[misc]  # types are checked without PyTorch
    """Calls `found` with every Attended; with a generator, projections are replaced by random numbers."""

    def __init__(
        self,
        parameters: dict[int, Any],
        found: Callable[[Attended], None],
        *,
        random: torch.Generator | None = None,
        size: float = 1.0,
        lone: bool = False,
    ) -> None:
        """See nothing yet.

        Args:
            parameters: id -> parameter of the model.
            found: called in the order of the forward pass.
            random: draws what replaces projections; None leaves them.
            size: standard deviation of what it draws.
            lone: softmaxes without a dot product before them count too.
        """
        super().__init__()
        self.parameters, self.found = parameters, found
        self.random, self.size, self.lone = random, size, lone
        self.stack: list[str] = [""]
        self.called: set[str] = set()
        self.used: set[str] = set()
        self.given: list[Projection] = []
        self.last: list[Projection] = []
        self.products: list[tuple[Any, Any, Any]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in FUSED:
            self._fused(*args, **kwargs)
            return func(*args, **kwargs)
        if name == "multi_head_attention_forward":
            logits, heads = multi_head(func, args, kwargs)
            self._add(Attended(self.stack[-1], logits, scale=heads.scale, heads=heads))
            return func(*args, **kwargs)
        if name in SOFTMAX:
            self._softmax(args, kwargs)
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        if name in LINEAR:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            bias = args[2] if len(args) > 2 else kwargs.get("bias")
            return self._projected(weight, bias, args[0] if args else kwargs["input"], out, columns=False)
        if name in SUM and len(args) == 2:
            self._shifted(args, out)
            return out
        if name in PRODUCT and isinstance(out, torch.Tensor):
            return self._product(name, args, kwargs, out)
        return out

    def _product(self, name: str, args: Any, kwargs: Any, out: Any) -> Any:
        if name == "addmm" and len(args) == 3:
            return self._projected(args[2], args[0], args[1], out, columns=True)
        if name in ("matmul", "__matmul__", "mm") and len(args) == 2 and self._parameter(args[1]) is not None:
            return self._projected(args[1], None, args[0], out, columns=True)
        sides = factors(name, args, kwargs) if name != "addmm" and out.ndim >= 2 else None
        if sides is not None:
            self.products.append((*sides, out.shape))
        return out

    def _parameter(self, tensor: Any) -> tuple[Any, bool] | None:
        """The parameter that `tensor` is, or is the transpose of, and whether it is the transpose."""
        if id(tensor) in self.parameters:
            return tensor, False
        base = getattr(tensor, "_base", None)
        if base is not None and id(base) in self.parameters and tensor.ndim == base.ndim == 2:
            same = tensor.data_ptr() == base.data_ptr() and tensor.shape == base.shape[::-1]
            if same and tensor.stride() == base.stride()[::-1]:
                return base, True
        return None

    def _projected(self, weight: Any, bias: Any, given: Any, out: Any, *, columns: bool) -> Any:
        found = self._parameter(weight)
        if found is None or found[0].ndim != 2:
            return out
        own = bias if bias is not None and id(bias) in self.parameters else None
        if bias is not None and own is None:
            return out
        if self.random is not None:
            drawn = torch.randn(out.shape, generator=self.random, dtype=torch.float32) * self.size
            out = drawn.to(device=out.device, dtype=out.dtype)
        self.given.append(Projection(found[0], own, columns != found[1], given, out))
        return out

    def _shifted(self, args: Any, out: Any) -> None:
        """A bias that is added to a projection by itself belongs to it."""
        for place, projection in enumerate(self.given):
            if projection.output is args[0] and projection.bias is None and id(args[1]) in self.parameters:
                self.given[place] = replace(projection, bias=args[1], output=out)

    def _fused(
        self,
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        logits, keys, factor = fused_logits(torch, query, key, attn_mask, is_causal, scale)
        self._add(Attended(self.stack[-1], logits, query.detach(), keys, factor, self.given))

    def _softmax(self, args: Any, kwargs: Any) -> None:
        logits = args[0] if args else kwargs["input"]
        dim = args[1] if len(args) > 1 else kwargs.get("dim")
        if dim is None or dim not in (-1, logits.ndim - 1) or logits.ndim < 2 or not logits.is_floating_point():
            return
        for queries, keys, shape in reversed(self.products):
            if logits.numel() == shape.numel() and logits.shape[-2:] == shape[-2:]:
                self._add(Attended(self.stack[-1], logits.detach(), queries, keys, None, self.given))
                return
        if self.lone:
            self._add(Attended(self.stack[-1], logits.detach()))

    def _add(self, event: Attended) -> None:
        self.used.update(self.stack)
        # Two dot products may follow one set of projections.
        if event.queries is not None and not event.given:
            event.given = self.last
        self.last, self.given, self.products = event.given, [], []
        self.found(event)

    @contextmanager
    def inside(self, model: Any) -> Iterator[None]:
        """Know the innermost module at every call, and see everything until the block ends."""
        hooks = []
        try:
            for name, module in model.named_modules():
                # A module for the softmax alone would hide whose softmax it is.
                if name and not isinstance(module, torch.nn.Softmax | torch.nn.Dropout):
                    hooks.append(module.register_forward_pre_hook(self._enter(name), prepend=True))
                    hooks.append(module.register_forward_hook(self._leave, always_call=True))
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: Any, args: Any) -> None:
            self.stack.append(name)
            self.called.add(name)

        return enter

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        self.stack.pop()

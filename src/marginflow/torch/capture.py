"""What needs PyTorch (the extra `[torch]`): the inputs of a model's attention layers, for `audit --inputs`."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marginflow.errors import InputError
from marginflow.heads.layouts import LAYOUTS, Layout, layout_of
from marginflow.npz import write_npz
from marginflow.torch.untouched import torch_or_error, untouched


def capture(
    model: Any,
    batch: Any,
    to: str | os.PathLike[str] | None = None,
    *,
    modules: Sequence[str] | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Run `model` once on `batch`, without gradients and in eval mode, and keep what its attention layers are given.

    The model is left as it was: training flags, hooks, buffers and the state of the random generators are put back,
    also when its forward raises.

    Args:
        model: a torch.nn.Module. With a transformers configuration of a family that `audit` reads, its query
            projections are found by name.
        batch: a mapping of keyword arguments, or one tensor. `attention_mask` and `input_ids` become mask and tokens.
        to: also write the arrays to this .npz file.
        modules: names of the modules, one a layer, whose first input is the layer's, for any other model.

    Returns:
        `layer0`, `layer1`, ... (n, T, D) float32 or float64 as the model computes them, and `mask`, `tokens` if
        the batch has them.

    Raises:
        InputError: PyTorch is missing, the modules cannot be found, or one was not called with (n, T, D).
    """
    torch_or_error("capture")
    names = list(modules) if modules is not None else _query_modules(model)
    known = dict(model.named_modules())
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(f"modules: got {unknown[:3] or 'none'}; expected names of model.named_modules()")
    found: dict[str, Any] = {}

    def keeper(name: str) -> Any:
        def keep(module: Any, args: Any, kwargs: Any) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            # A layer whose weights are used several times keeps its first input.
            found.setdefault(name, given.detach().to("cpu"))

        return keep

    hooks = []
    try:
        for name in dict.fromkeys(names):
            hooks.append(known[name].register_forward_pre_hook(keeper(name), with_kwargs=True))
        with untouched(model):
            model(**batch) if isinstance(batch, Mapping) else model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    arrays = {f"layer{i}": _array(name, found.get(name)) for i, name in enumerate(names)}
    if isinstance(batch, Mapping):
        for key, name in (("attention_mask", "mask"), ("input_ids", "tokens")):
            if batch.get(key) is not None:
                arrays[name] = np.asarray(batch[key].detach().to("cpu").numpy())
    if "mask" in arrays:
        arrays["mask"] = arrays["mask"].astype(bool)
    if to is not None:
        write_npz(to, **arrays)
    return arrays


def _array(name: str, given: Any) -> npt.NDArray[Any]:
    if given is None or given.ndim != 3:
        shape = "no call" if given is None else f"an input of shape {tuple(given.shape)}"
        raise InputError(f"modules: {name} had {shape}; expected one of (n, T, D); name the query projections")
    # NumPy has no bfloat16, and float32 holds it exactly.
    return np.asarray((given if given.dtype.itemsize >= 4 else given.float()).numpy())


def _query_modules(model: Any) -> list[str]:
    """The query projections of a known family, by layer; found by the names that its checkpoints have."""
    word = getattr(getattr(model, "config", None), "model_type", None)
    layout = layout_of(word) if isinstance(word, str) else None
    found = [] if layout is None else _matching(model, layout)
    if not found:
        families = ", ".join(row.family for row in LAYOUTS if not row.refused)
        raise InputError(
            f"capture: the layers of {type(model).__name__} (model_type {word!r}) are not found by name; give "
            f"modules=[...], one query projection a layer; known families: {families}"
        )
    return found


def _matching(model: Any, layout: Layout) -> list[str]:
    pattern = re.escape(layout.query).replace(r"\{i\}", r"(\d+)")
    pattern = pattern.replace(r"\{group\}", r"(\d+)").replace(r"\{inner\}", r"(\d+)")
    named = [(match, name) for name, _ in model.named_modules() if (match := re.search(rf"(?:^|\.){pattern}$", name))]
    return [name for match, name in sorted(named, key=lambda pair: [int(n) for n in pair[0].groups()])]

"""A forward pass that leaves a model, the random generators and PyTorch's switches as they were, whatever happens."""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from marginflow.documents import page
from marginflow.errors import InputError


def torch_or_error(who: str) -> Any:
    """The module torch.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise InputError(f"{who}: PyTorch is missing; pip install 'marginflow[torch]'") from None
    return torch


def bare(model: Any) -> Any:
    """The model itself: out of torch.compile's and DistributedDataParallel's wrappers, which share its modules.

    Raises:
        InputError: no module, or one that no process holds as a whole.
    """
    torch = torch_or_error("watch")
    while True:
        kind = type(model).__name__
        if kind == "OptimizedModule":
            model = model._orig_mod
        elif kind in ("DistributedDataParallel", "DataParallel"):
            model = model.module
        else:
            break
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"model: got {type(model).__name__}; expected a torch.nn.Module")
    for module in model.modules():
        if "FullyShardedDataParallel" in type(module).__name__:
            raise _sharded(type(module).__name__)
    for name, parameter in model.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise InputError(f"model: {name} is not initialised yet; run one batch through the model first")
        if any(kind.__name__ == "DTensor" for kind in type(parameter.data).__mro__) or hasattr(parameter, "ds_id"):
            raise _sharded(name)
        if getattr(parameter, "tensor_model_parallel", False):
            raise _sharded(name)
        if parameter.is_meta:
            raise InputError(f"model: {name} is on the meta device: it has no numbers; load the weights first")
    return model


def _sharded(what: str) -> InputError:
    return InputError(
        f"model: {what} is sharded, so that no process holds a whole head; gather the weights on one process and give "
        f"them to a marginflow Recorder ({page('watch')})"
    )


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Inside: eval mode, no gradients, eager code. After: everything as before, also when the block raises.

    Put back are: training flags of each module (without calling train or eval, which models override), buffers and
    other attributes of modules, and the generators of torch (CPU and the devices of the model), NumPy and Python.

    Raises:
        InputError: parameters were changed, which cannot be put back.
    """
    torch = torch_or_error("watch")
    modules = list(model.modules())
    kept = [(vars(m), dict(vars(m)), {key: _contents(value) for key, value in vars(m).items()}) for m in modules]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers()]
    versions = [(name, p, p._version) for name, p in model.named_parameters()]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  a model may draw from either
    fast = torch.backends.mha.get_fastpath_enabled()
    compiled = any(type(m).__name__ == "OptimizedModule" or m._compiled_call_impl is not None for m in modules)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.no_grad())
        if compiled and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for module in modules:
                module.training = False
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for now, attributes, contents in kept:
                _put_back(now, attributes, contents)
            for buffer, version, copy in buffers:
                if buffer._version != version:
                    buffer.copy_(copy)
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
    changed = [name for name, p, version in versions if p._version != version]
    if changed:
        raise InputError(f"model: its forward changes parameters ({changed[0]}) in eval mode; it cannot be watched")


def _contents(value: Any) -> Any:
    """A shallow copy of a container, so that what is added to it can be taken out."""
    if type(value) is dict or type(value).__name__ == "OrderedDict":
        return dict(value)
    return list(value) if isinstance(value, list) else set(value) if isinstance(value, set) else None


def _put_back(now: dict[str, Any], before: Mapping[str, Any], contents: Mapping[str, Any]) -> None:
    for key in [key for key in now if key not in before]:
        del now[key]
    for key, value in before.items():
        if now.get(key, now) is not value:
            now[key] = value
        kept = contents[key]
        if isinstance(kept, list):
            if len(kept) != len(value) or any(a is not b for a, b in zip(kept, value, strict=True)):
                value[:] = kept
        elif isinstance(kept, dict):
            if list(kept) != list(value) or any(value[name] is not item for name, item in kept.items()):
                value.clear()
                value.update(kept)
        elif isinstance(kept, set) and kept != value:
            value.clear()
            value.update(kept)

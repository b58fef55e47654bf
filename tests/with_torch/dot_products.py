"""What a model's own code hands to the softmax: logits with mask, head by head, and the layers' inputs."""

import torch
from torch.overrides import TorchFunctionMode


class Seen(TorchFunctionMode):
    """Collects (B, H, T, T) logits at every softmax and scaled_dot_product_attention."""

    def __init__(self):
        super().__init__()
        self.logits: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.logits.append(self._fused(*args, **kwargs))
        elif func in (torch.softmax, torch.nn.functional.softmax, torch.Tensor.softmax) and args[0].ndim == 4:
            self.logits.append(args[0].detach().double())
        return func(*args, **kwargs)

    def _fused(self, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        q, k = q.detach().double(), k.detach().double()
        if k.shape[1] != q.shape[1]:
            k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is None:
            return logits
        if attn_mask.dtype == torch.bool:
            return logits.masked_fill(~attn_mask, -1e30)
        return logits + attn_mask.double()


def module_with(model, weight) -> str:
    """The name of the module that holds `weight`: files and modules may name it differently."""
    return next(
        name
        for name, module in model.named_modules()
        if getattr(module, "weight", None) is not None
        and module.weight.shape == weight.shape
        and torch.equal(module.weight.detach(), weight)
    )


def observe(model, modules: list[str], batch):
    """(inputs of each of `modules`, logits of each call of the attention) of one forward pass."""
    found: dict[str, torch.Tensor] = {}

    def keeper(name):
        def keep(module, args, kwargs):
            found.setdefault(name, (args[0] if args else kwargs["hidden_states"]).detach().double())

        return keep

    hooks = [
        model.get_submodule(n).register_forward_pre_hook(keeper(n), with_kwargs=True) for n in dict.fromkeys(modules)
    ]
    with torch.no_grad(), Seen() as seen:
        model(**batch)
    for hook in hooks:
        hook.remove()
    return found, seen.logits

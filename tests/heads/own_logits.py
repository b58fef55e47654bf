"""The comparison that a family ships with: our logits against those of the model's own code."""

import json

import numpy as np

from marginflow.heads.checkpoint import Checkpoint
from marginflow.heads.logits import logits, visible


def differences(checkpoint: Checkpoint, layer: int, inputs, own) -> float:
    """The largest difference of log-odds over every head and query, over the largest logit or 1.

    Args:
        inputs: (n, T, D) of the layer.
        own: (n, H, T, T) what the model hands to its softmax, about -1e30 where it masks.

    Raises:
        AssertionError: other tokens are masked, or the logits are too small to show anything.
    """
    worst = 0.0
    sees = visible(inputs.shape[1], causal=checkpoint.layout.causal, window=checkpoint.shape.window[layer])
    for head in checkpoint.layer(layer):
        theirs = own[:, head.head]
        there = theirs > -1e20
        assert np.array_equal(there, np.broadcast_to(sees, there.shape))
        gap = np.where(there, logits(head, inputs.astype(float)) - theirs, 0.0)
        gap -= np.where(there, (gap.sum(-1) / there.sum(-1))[..., None], 0.0)
        size = float(np.abs(theirs[there]).max())
        assert size > 0.02
        worst = max(worst, float(np.abs(gap).max()) / max(size, 1.0))
    return worst


def write_stored(arrays, folder, *, kind="float32", shards=1, config=None):
    """Write stored arrays of one family as a checkpoint and return its folder.

    Args:
        kind: float32, float16 or bfloat16; the stored weights are exact in each.
        shards: files.
        config: what to change in config.json; None removes a key.
    """
    import ml_dtypes
    from safetensors.numpy import save_file

    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    tensors = {k.removeprefix("tensor "): (v / 16).astype(dtype) for k, v in arrays.items() if k.startswith("tensor ")}
    changed = json.loads(str(arrays["config"])) | (config or {})
    (folder / "config.json").write_text(json.dumps({k: v for k, v in changed.items() if v is not None}))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    home = {}
    for number in range(shards):
        names = sorted(tensors)[number::shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file)
        home |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": home}))
    return folder

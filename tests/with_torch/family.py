"""One small model on disk, what its own code makes of a batch, and the same as arrays small enough to store."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dot_products import module_with, observe
from safetensors.torch import load_file
from small_models import build, inputs

from marginflow.heads.checkpoint import Checkpoint, filled, open_checkpoint


@dataclass
class Family:
    """A model's checkpoint, the (1, T, D) inputs of its layers and the (1, H, T, T) logits of its own code."""

    checkpoint: Checkpoint
    inputs: list[np.ndarray]
    logits: list[np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """What `tests/heads/families` stores: weights in sixteenths, config.json, inputs, logits."""
        layout, config = self.checkpoint.layout, self.checkpoint.config
        layers = range(self.checkpoint.shape.layers)
        names = {filled(t, i, config) for t in (layout.query, layout.key, *(layout.norms or ())) for i in layers}
        tensors = load_file(self.checkpoint.files.folder / "model.safetensors")
        kept = {k: v.numpy() for k, v in tensors.items() if any(f"{n}." in k for n in names)}
        stored = {f"tensor {k}": (16 * v).astype(np.int8) for k, v in kept.items()}
        assert all(np.array_equal(stored[f"tensor {k}"] / 16, v) for k, v in kept.items())
        found = {"config": np.array(json.dumps(json.loads((self.checkpoint.files.folder / "config.json").read_text())))}
        for i, (x, own) in enumerate(zip(self.inputs, self.logits, strict=True)):
            found[f"inputs{i}"], found[f"logits{i}"] = x.astype(np.float32), own.astype(np.float32)
        return found | stored


def family(name: str, folder: Path) -> Family:
    """Build, save, open and run the model `name`."""
    model = build(name)
    model.save_pretrained(folder)
    found = open_checkpoint(folder)
    tensors = load_file(folder / "model.safetensors")
    layers = range(found.shape.layers)
    weights = [tensors[found.prefix + filled(found.layout.query, i, found.config) + ".weight"] for i in layers]
    modules = [module_with(model, weight) for weight in weights]
    seen, own = observe(model, modules, inputs(name))
    # ALBERT calls each of its distinct layers several times in a row; the first call is the one observed.
    calls = len(own) // len(modules)
    return Family(
        found,
        [seen[module].numpy()[:1] for module in modules],
        [own[calls * i].numpy()[:1] for i in layers],
    )

"""Small models of every family, stored from transformers' own code by tests/with_torch/store_families.py."""

from pathlib import Path

import numpy as np


FAMILIES = Path(__file__).parent / "families"
NAMES = sorted(file.stem for file in FAMILIES.glob("*.npz"))


def stored(name):
    """Weights in sixteenths, config.json, inputs and logits of one model."""
    with np.load(FAMILIES / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}

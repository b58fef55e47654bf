"""Writes tests/optim/torch_runs.npz: python tests/with_torch/store_optim.py, with torch installed."""

import sys
from pathlib import Path

import numpy as np
import torch


sys.path.insert(0, str(Path(__file__).parents[1] / "optim"))
from torch_reference import FILE, KINDS, PROBLEM, start
from torch_runs import OPTIMISERS, trained


torch.Tensor.bfloat16 = lambda self: self.clone()
out = {}
for kind in KINDS:
    for word, (make, _) in OPTIMISERS.items():
        if kind.diagonal and word.startswith("muon"):
            continue
        for name, array in trained(PROBLEM, start(kind), make)[-1].items():
            out[f"{kind.word}/{word}/{name}"] = array
np.savez_compressed(FILE, **out)

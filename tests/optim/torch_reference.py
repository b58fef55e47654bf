"""The ends of plain PyTorch loops, pinned: written and checked in tests/with_torch."""

from pathlib import Path

import numpy as np

import marginflow as mf


FILE = Path(__file__).with_name("torch_runs.npz")
PROBLEM = mf.load("sphere:n=3,T=4,d=4,seed=2")
KINDS = [mf.KeyQuery(3), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]
AWAY = 1e-12


def start(kind):
    return kind.draw(4, 4, np.random.default_rng(5), 0.3)


def pinned(kind, word):
    """The arrays at the end of torch's loop."""
    with np.load(FILE) as arrays:
        prefix = f"{kind.word}/{word}/"
        return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def cases():
    """(kind, word) of everything pinned."""
    with np.load(FILE) as arrays:
        keys = sorted({tuple(key.split("/")[:2]) for key in arrays.files})
    return [(kind, word) for kind in KINDS for which, word in keys if which == kind.word]

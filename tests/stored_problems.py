"""Small problems whose tokens are mapped from a file, read a few samples at a time."""

import numpy as np

import marginflow as mf
from marginflow.problem import stored


def tokens(n=40, T=9, d=6, d_z=5, seed=0, dtype=np.float32):
    """(X, z, scores): the tokens chosen by some W, which separates them."""
    rng = np.random.default_rng(seed)
    X, z, W = (rng.standard_normal(shape) for shape in ((n, T, d), (n, d_z), (d, d_z)))
    X = X.astype(dtype)
    return X, z, np.einsum("ntd,de,ne->nt", X.astype(np.float64), W, z)


def folder(path, X, z, scores, **others):
    """A folder that `mf.load` reads."""
    for name, array in {"X": X, "z": z, "scores": scores, **others}.items():
        np.save(path / f"{name}.npy", array)
    return path


def mapped(path, X, z, scores, mask=None):
    """The problem over X.npy in `path`."""
    np.save(path / "X.npy", X)
    return mf.Problem(np.load(path / "X.npy", mmap_mode="r"), z, scores, mask=mask)


def few_at_a_time(monkeypatch, samples, X):
    """Blocks of so many samples."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 8 * samples * X.shape[1] * X.shape[2])

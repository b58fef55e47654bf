"""SVMs whose tokens do not fit in memory: passes, time and peak memory, each norm in a process of its own.

Tokens and queries are normal on `--span` directions each; the selected token of a sample is that of largest x'Wz for a
W of rank `--rank`, moved by `--ahead` along Wz: a head that attends to what it looks for, in activations of few
directions. Tokens are written in blocks and removed at the end.

    python benchmarks/larger_than_memory.py --n 20000 --T 128 --d 256 --dir /tmp/larger
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import marginflow as mf


def write(folder: Path, n: int, T: int, d: int, rank: int, span: int, ahead: float, dtype: str) -> None:
    """X.npy (n, T, d), z.npy (n, d) and scores.npy (n, T), in blocks of samples."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((d, span)))[0].T for _ in range(2))
    z = rng.standard_normal((n, span)) @ right / np.sqrt(span)
    W = left.T @ rng.standard_normal((span, rank)) @ rng.standard_normal((rank, span)) @ right / span
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", dtype=dtype, shape=(n, T, d))
    scores = np.empty((n, T))
    for start in range(0, n, 500):
        rows = slice(start, min(start + 500, n))
        along = z[rows] @ W.T
        along /= np.linalg.norm(along, axis=1)[:, None]
        block = rng.standard_normal((len(along), T, span), dtype=np.float32) @ (left / np.sqrt(span)).astype(np.float32)
        scores[rows] = np.einsum("ntd,nd->nt", block, along)
        best = scores[rows].argmax(axis=1)
        block[np.arange(len(block)), best] += ahead * along
        scores[rows] = np.einsum("ntd,nd->nt", block, along)
        X[rows] = block
    X.flush()
    np.save(folder / "z.npy", z)
    np.save(folder / "scores.npy", scores)


def solve(folder: Path, norm: str, tol: float) -> dict[str, object]:
    """One norm: what was found, in which time and memory."""
    began, cpu = time.perf_counter(), time.process_time()
    problem = mf.load(str(folder))
    read = time.perf_counter() - began
    solution = mf.solve(problem, norm, tol, progress=_tell)
    return {
        "norm": norm,
        "status": solution.status.name,
        "value": solution.value,
        "gap": solution.certificate.gap,
        "constraints": len(solution.constraints),
        "support": int((solution.dual > 0.0).sum()),
        "seconds": time.perf_counter() - began,
        "of it reading and checking": read,
        "CPU seconds": time.process_time() - cpu,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        **solution.iterations,
    }


def _tell(rounds: int, gap: float) -> None:
    print(f"  round {rounds}, gap {gap:.2e}", file=sys.stderr, flush=True)


def main() -> None:
    """Write the tokens, solve under each norm in a process of its own, remove them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("n", 20_000), ("T", 128), ("d", 256), ("rank", 8), ("span", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ahead", type=float, default=0.5)
    parser.add_argument("--tol", type=float, default=1e-9)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--norms", default="frobenius,nuclear")
    parser.add_argument("--dir", type=Path, default=Path("/tmp/marginflow-larger"))
    parser.add_argument("--solve", help="one norm, in this process, of tokens that are there")
    parser.add_argument("--write", action="store_true", help="the tokens, in this process")
    asked = parser.parse_args()
    if asked.solve:
        print(json.dumps(solve(asked.dir, asked.solve, asked.tol)))
        return
    if asked.write:
        write(asked.dir, asked.n, asked.T, asked.d, asked.rank, asked.span, asked.ahead, asked.dtype)
        return
    if asked.dir.exists():
        raise SystemExit(f"{asked.dir}: exists; expected a new folder, which is removed at the end")
    # A process inherits the peak memory of the one that starts it, so that this one does nothing.
    own = [sys.executable, __file__, *sys.argv[1:]]
    try:
        subprocess.run([*own, "--write"], check=True)
        print(f"{(asked.dir / 'X.npy').stat().st_size / 1e9:.2f} GB of tokens", flush=True)
        for norm in asked.norms.split(","):
            done = subprocess.run([*own, "--solve", norm], stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.strip(), flush=True)
    finally:
        shutil.rmtree(asked.dir, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The nuclear SVM by NumPy, by PyTorch on the CPU and on every CUDA device that is there, in one run.

    python benchmarks/device_svm.py [--wide] [--cap SECONDS]

In an environment with marginflow[gpu]. Each row is a fresh process, in which a small problem is solved first: loading
libraries and starting CUDA stand in a column of their own, as does making the constraints from arrays. Accuracy stands
beside the time: the certified gap, and how far the value is from the first row's. Where no CUDA device is found that is
said, and no row stands for one. `--wide` adds real widths, tokens chosen by a W of rank 64 as in a head, on CUDA
devices alone: the last takes some 15 GB of memory.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

import marginflow as mf
from scale_svm import solved
from svm import instance


Size = tuple[int, int, int]

SIZES: tuple[Size, ...] = ((100, 20, 100), (1000, 64, 256))
WIDE: tuple[Size, ...] = ((2000, 64, 768), (10000, 64, 768))


def chosen_by_a_matrix(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit tokens and queries, and scores of which the best is that of the token of largest x'Wz, W of rank 64."""
    n, T, d = size
    rng = np.random.default_rng(0)
    X, z = rng.standard_normal((n, T, d)), rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    seen = z @ rng.standard_normal((d, 64)) @ rng.standard_normal((64, d))
    return X, z, (X @ seen[:, :, None])[:, :, 0]


def run(device: str, size: Size) -> dict[str, object]:
    """One solve: what it took and what it proves."""
    where, clock = None if device == "numpy" else device, [time.perf_counter()]
    mf.solve("digits", "nuclear", device=where)
    clock.append(time.perf_counter())
    arrays = None if size in SIZES else chosen_by_a_matrix(size)
    clock.append(time.perf_counter())
    constraints = instance(size) if arrays is None else mf.Problem(*arrays).constraints()
    clock.append(time.perf_counter())
    found = solved(constraints, "nuclear", where)
    clock.append(time.perf_counter())
    there = torch.cuda.max_memory_allocated(device) >> 20 if device.startswith("cuda") else None
    start, _, made, wall = np.diff(clock)
    return found | {"start": start, "made": made if arrays else None, "wall": wall, "there": there}


def rows(wide: bool) -> list[tuple[str, Size]]:
    """What is run: a device and a size."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    found = [(device, size) for size in SIZES for device in ("numpy", "cpu", *cuda)]
    return found + [(device, size) for size in WIDE if wide for device in cuda]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wide", action="store_true", help="also widths of 768, on CUDA devices")
    parser.add_argument("--cap", type=float, default=600.0, help="seconds by the clock after which a row is given up")
    parser.add_argument("--one", nargs=4, metavar=("DEVICE", "N", "T", "D"), help="this row, as JSON")
    options = parser.parse_args()
    if options.one:
        n, T, d = map(int, options.one[1:])
        print(json.dumps(run(options.one[0], (n, T, d))))
        return
    for i in range(torch.cuda.device_count()):
        print(f"cuda:{i} is {torch.cuda.get_device_name(i)}")
    if not torch.cuda.device_count():
        print("No CUDA device is here: nothing below was run on a GPU, and the wide sizes were not run at all.")
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| n, T, d | on | rows | steps | start s | made s | clock s | CPU s | MB | there | status | gap | off first |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    first: dict[Size, float] = {}
    for device, size in rows(options.wide):
        command = [sys.executable, __file__, "--one", device, *map(str, size)]
        name = ", ".join(map(str, size))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=options.cap)
        except subprocess.TimeoutExpired:
            print(f"| {name} | {device} | | | | | > {options.cap:g} | | | | | | |", flush=True)
            continue
        if done.returncode:
            print(f"| {name} | {device} | | {done.stderr.strip().splitlines()[-1]} | | | | | | | | | |", flush=True)
            continue
        r = json.loads(done.stdout)
        value = first.setdefault(size, r["value"])
        made = "-" if r["made"] is None else f"{r['made']:.1f}"
        print(
            f"| {name} | {device} | {r['rows']:,} | {r['steps']} | {r['start']:.1f} | {made} | {r['wall']:.2f} "
            f"| {r['seconds']:.2f} | {r['memory']} | {r['there'] or '-'} | {r['status']} | {r['gap']:.1e} "
            f"| {r['value'] / value - 1:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""SVMs at real width: CPU seconds, steps, peak memory and the certified gap of every size, each in a fresh process.

    python benchmarks/scale_svm.py [--quick] [--cap SECONDS]

Prints a Markdown table, and the load of the machine at the time: CPU seconds, without those of imports, move by half
with it. Infeasible rows end in a proof, others in bounds; every number is certified by marginflow whatever the solver
said.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import marginflow as mf
from svm import instance


Row = tuple[str, tuple[int, int, int]]

QUICK: tuple[Row, ...] = (
    ("nuclear", (100, 20, 100)),
    ("frobenius", (200, 64, 128)),
    ("nuclear", (200, 64, 128)),
    ("nuclear", (1500, 16, 32)),
    ("frobenius", (1500, 16, 32)),
)

FULL: tuple[Row, ...] = (
    *QUICK,
    ("frobenius", (200, 64, 768)),
    ("nuclear", (200, 64, 768)),
    ("nuclear", (300, 16, 64)),
    ("nuclear", (1000, 16, 64)),
    ("nuclear", (3000, 16, 64)),
    ("nuclear", (3000, 8, 256)),
    ("nuclear", (10000, 4, 256)),
    ("nuclear", (1000, 64, 256)),
)


def run(norm: str, size: tuple[int, int, int]) -> dict[str, object]:
    """One solve of the problem of this size, the modules that it needs imported by a small one."""
    mf.solve(instance((3, 3, 3)), norm)
    return solved(instance(size), norm)


def solved(constraints: mf.Constraints, norm: str, device: str | None = None) -> dict[str, object]:
    """One solve: what it took and what it proves."""
    start = time.process_time()
    found = mf.solve(constraints, norm, device=device)
    return {
        "rows": len(constraints),
        "support": int((found.dual != 0.0).sum()),
        "steps": " + ".join(f"{count} {stage}" for stage, count in found.iterations.items() if count),
        "seconds": time.process_time() - start,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "status": found.status.name,
        "gap": found.certificate.gap,
        "value": found.value,
    }


def table(rows: Sequence[Row], cap: float) -> None:
    """Print a line for each of `rows`, which are given up after `cap` seconds by the clock."""
    print("| norm | n, T, d | constraints | multipliers | steps | CPU s | MB | status | gap | load |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for norm, size in rows:
        command = [sys.executable, __file__, "--one", norm, *map(str, size)]
        load = f"{os.getloadavg()[0]:.0f}"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=cap, check=True)
        except subprocess.TimeoutExpired:
            print(f"| {norm} | {size} | | | | > {cap:g} by the clock | | | | {load} |", flush=True)
            continue
        r = json.loads(done.stdout)
        print(
            f"| {norm} | {', '.join(map(str, size))} | {r['rows']:,} | {r['support']:,} | {r['steps']} "
            f"| {r['seconds']:.3g} | {r['memory']} | {r['status']} | {r['gap']:.1e} | {load} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sizes of a few seconds")
    parser.add_argument("--cap", type=float, default=600.0, help="seconds by the clock after which a size is given up")
    parser.add_argument("--one", nargs=4, metavar=("NORM", "N", "T", "D"), help="this size, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run(options.one[0], tuple(map(int, options.one[1:])))))  # type: ignore[arg-type]
        return
    table(QUICK if options.quick else FULL, options.cap)


if __name__ == "__main__":
    main()

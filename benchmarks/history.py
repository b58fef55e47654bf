"""Benchmarks as JSON, kept per commit and compared: what `--save` writes and `make bench-compare` reads.

    python benchmarks/flow.py --quick --save before.json
    python benchmarks/flow.py --quick --save after.json
    python benchmarks/history.py before.json after.json [--limit 0.03]

A saved run is a list of rows; a row has a `name` (what was run: the same in both files for the same work), `cpu`
seconds, and beside them whatever shows that the work was the same: counts, verdicts, ends. The comparison prints the
ratio of every row in both files. A row slower by more than the limit is flagged (exit code 1), and so is one whose
counts or words differ: a time for other work is no time. One run on a busy machine proves nothing: run both sides in
turn, on the same machine.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy


Row = dict[str, Any]

LIMIT: Final = 0.03
"""How much slower a row may be before it is flagged."""

SHORTEST: Final = 0.05
"""CPU seconds below which a ratio is noise: such rows are shown, never flagged for their time."""


def save(path: str | Path, benchmark: str, rows: Sequence[Row]) -> None:
    """Write the rows of `benchmark` with what made them: commit, versions, machine."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    made = {
        "benchmark": benchmark,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(made | {"rows": list(rows)}, indent=1, default=float) + "\n", encoding="utf-8")


def compare(before: Sequence[Row], after: Sequence[Row], limit: float = LIMIT) -> tuple[str, list[str]]:
    """The table of both, and the rows that are slower or did other work."""
    old = {row["name"]: row for row in before}
    lines = ["| work | before, CPU s | after | ratio | |", "|---|---|---|---|---|"]
    flagged, ratios = [], []
    for row in after:
        if row["name"] not in old:
            lines.append(f"| {row['name']} | – | {row['cpu']:.3g} | | new |")
            continue
        was = old[row["name"]]
        ratio = row["cpu"] / was["cpu"] if was["cpu"] else math.inf
        other = [key for key in was if key not in ("name", "cpu") and _differs(was[key], row.get(key))]
        slow = ratio > 1.0 + limit and max(row["cpu"], was["cpu"]) >= SHORTEST
        word = f"other work: {', '.join(other)}" if other else "slower" if slow else ""
        if word:
            flagged.append(row["name"])
        if not other:
            ratios.append(ratio)
        lines.append(f"| {row['name']} | {was['cpu']:.3g} | {row['cpu']:.3g} | {ratio:.3f} | {word} |")
    new = {row["name"] for row in after}
    for name in old:
        if name not in new:
            flagged.append(name)
            lines.append(f"| {name} | {old[name]['cpu']:.3g} | – | | gone |")
    if ratios:
        lines += ["", f"geometric mean of {len(ratios)} ratios: {float(np.exp(np.mean(np.log(ratios)))):.3f}"]
    return "\n".join(lines), flagged


def _differs(a: Any, b: Any) -> bool:
    """Words and counts are equal or not; measured numbers may differ by what another BLAS does to the last digits."""
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return not math.isclose(a, b, rel_tol=0.1, abs_tol=1e-9)
    return bool(a != b)


def main() -> int:
    """Compare two saved runs, or the two newest of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="before.json after.json")
    parser.add_argument("--limit", type=float, default=LIMIT)
    asked = parser.parse_args()
    if len(asked.files) != 2:
        parser.error(f"got {len(asked.files)} files; expected before.json and after.json")
    before, after = (json.loads(file.read_text(encoding="utf-8")) for file in asked.files)
    if before["benchmark"] != after["benchmark"]:
        parser.error(f"got benchmarks {before['benchmark']} and {after['benchmark']}; expected two runs of one")
    for name, made in (("before", before), ("after", after)):
        print(f"{name}: {made['commit']}, NumPy {made['numpy']}, SciPy {made['scipy']}, {made['machine']}")
    table, flagged = compare(before["rows"], after["rows"], asked.limit)
    print(table)
    if flagged:
        print(f"flagged: {', '.join(flagged)}", file=sys.stderr)
    return 1 if flagged else 0


if __name__ == "__main__":
    sys.exit(main())

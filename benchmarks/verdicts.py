"""Verdicts early against what the same runs do later: contradictions, and the share of traps that are told.

    python benchmarks/verdicts.py                     # 2,000 runs
    python benchmarks/verdicts.py --runs 200 --scale 0.1 --scale 100

Every run is judged at margins 1e3, 1e4 and 1e6 and followed to 1e12. A verdict is contradicted if it says minimal
loss and the run is off its optimal tokens at 1e12, or trapped and the tokens at 1e12 are others. A run *sits in a trap*
at 1e6 if it is off its optimal tokens there, and on the same tokens at 1e12.
"""

import argparse
import json
import time
from collections import Counter
from typing import Any

import numpy as np

import marginflow as mf
from marginflow.problem import named


MARGINS = (1e3, 1e4, 1e6)
LATE = 1e12
SCALES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3, 1e4)
SIZES = ("n=3,T=5,d=4", "n=4,T=4,d=6", "n=4,T=4,d=8", "n=6,T=8,d=10")
WORDS = ("w", "diag", "diag-kq", "kq")
SEEDS = 5
"""Starts of one scale on one problem; they run together."""


def model(word: str, problem: mf.Problem) -> Any:
    if word == "kq":
        return mf.KeyQuery(max(problem.d, problem.d_z))
    return {"w": mf.Combined, "diag": mf.Diagonal, "diag-kq": mf.DiagonalKeyQuery}[word]()


def wrong(path: mf.Trajectory) -> bool:
    rows = np.arange(path.problem.n)
    scores = path.problem.scores
    return bool((scores[rows, path.selected(-1)] < scores[rows, path.problem.optimal]).any())


def batch(word: str, size: str, seed: int, scale: float) -> tuple[Counter[str], list[str]]:
    """Counts over `SEEDS` runs, and the contradictions by name."""
    problem = named.load(f"sphere:{size},seed={seed}")
    starts: dict[str, Any] = {"seeds": range(SEEDS), "scale": scale}
    late = mf.integrate_many(problem, model(word, problem), **starts, until_margin=LATE)
    found: Counter[str] = Counter(runs=len(late), reached=sum(p.ended.name == "margin" for p in late))
    against = []
    for margin in MARGINS:
        early = mf.integrate_many(problem, model(word, problem), **starts, until_margin=margin)
        for k, (path, end) in enumerate(zip(early, late, strict=True)):
            found[f"{path.status.name} {margin:g}"] += 1
            same = bool((path.selected(-1) == end.selected(-1)).all())
            no = (path.status.name == "minimal_loss" and wrong(end)) or (path.status.name == "trapped" and not same)
            if no:
                against.append(
                    f"{word} sphere:{size},seed={seed} scale {scale:g} start {k}: {path.status.name} at {margin:g}"
                )
            if path.ended.name == end.ended.name == "margin" and wrong(path) and same:
                found[f"sits {margin:g}"] += 1
                found[f"told {margin:g}"] += path.status.name == "trapped"
    return found, against


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--scale", type=float, action="append")
    parser.add_argument("--word", action="append", choices=WORDS)
    parser.add_argument("--json", metavar="FILE", help="write the counts there")
    asked = parser.parse_args()
    scales, words = tuple(asked.scale or SCALES), tuple(asked.word or WORDS)
    cells = [(word, scale) for word in words for scale in scales]
    table: dict[tuple[str, float], Counter[str]] = {cell: Counter() for cell in cells}
    against: list[str] = []
    begun = time.process_time()
    try:
        for i in range(-(-asked.runs // SEEDS)):
            cell, turn = cells[i % len(cells)], i // len(cells)
            counts, names = batch(cell[0], SIZES[turn % len(SIZES)], 100 + turn, cell[1])
            table[cell] += counts
            against += names
    except KeyboardInterrupt:
        print("interrupted: what was finished")
    print("| flow | scale | runs | reached 1e12 | sits in a trap at 1e3, 1e4, 1e6 | told there | minimal loss at 1e6 |")
    print("|---|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for (word, scale), c in table.items():
        total += c
        sits, told = (", ".join(str(c[f"{what} {m:g}"]) for m in MARGINS) for what in ("sits", "told"))
        print(f"| {word} | {scale:g} | {c['runs']} | {c['reached']} | {sits} | {told} | {c['minimal_loss 1e+06']} |")
    for margin in MARGINS:
        sits, told = total[f"sits {margin:g}"], total[f"told {margin:g}"]
        print(f"at {margin:g}: {told} of {sits} traps told ({told / max(sits, 1):.1%})")
    print(f"{len(against)} contradictions in {total['runs']} runs; {time.process_time() - begun:.0f} CPU s")
    print("\n".join(against))
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump({"total": total, "contradictions": against}, file, indent=1)


if __name__ == "__main__":
    main()

"""Verdicts early against what the same runs do later: contradictions, and the share of traps that are told.

    python benchmarks/verdicts.py                     # 2,000 runs
    python benchmarks/verdicts.py --resume            # goes on where an interrupted study stopped
    python benchmarks/verdicts.py --runs 200 --scale 0.1 --scale 100

Every run is judged at margins 1e3, 1e4 and 1e6 and followed to 1e12. A verdict is contradicted if it says minimal
loss and the run is off its optimal tokens at 1e12, or trapped and the tokens at 1e12 are others. A run *sits in a trap*
at 1e6 if it is off its optimal tokens there, and on the same tokens at 1e12. Each run is a line of `--file`, written
when it is finished; the first line holds the code that was run, and other code does not go on with that file.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import marginflow as mf
from kept_runs import begin, code, kept
from marginflow.problem import named


MARGINS = (1e3, 1e4, 1e6)
LATE = 1e12
SCALES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3, 1e4)
SIZES = ("n=3,T=5,d=4", "n=4,T=4,d=6", "n=4,T=4,d=8", "n=6,T=8,d=10")
WORDS = ("w", "diag", "diag-kq", "kq")
SEEDS = 5
"""Starts of one scale on one problem; they run together."""


@dataclass(frozen=True)
class Batch:
    """`SEEDS` starts of one scale on one problem."""

    word: str
    size: str
    seed: int
    scale: float

    @classmethod
    def of(cls, run: dict[str, Any]) -> "Batch":
        """The batch that a line of the file belongs to."""
        return cls(run["word"], run["size"], run["seed"], run["scale"])

    def runs(self) -> list[dict[str, Any]]:
        """What is said of each run at every margin, and whether that is so at the end."""
        late = self.paths(range(SEEDS), LATE)
        runs = [asdict(self) | {"start": k, "reached": end.ended.name == "margin"} for k, end in enumerate(late)]
        for margin in MARGINS:
            for run, path, end in zip(runs, self.paths(range(SEEDS), margin), late, strict=True):
                run[f"{margin:g}"] = judged(path, end)
        return runs

    def paths(self, starts: Iterable[int], margin: float) -> list[mf.Trajectory]:
        """Its runs from these starts up to this margin."""
        problem = named.load(f"sphere:{self.size},seed={self.seed}")
        weights = model(self.word, problem)
        return mf.integrate_many(problem, weights, seeds=list(starts), scale=self.scale, until_margin=margin)


def batches(runs: int, words: tuple[str, ...], scales: tuple[float, ...]) -> Iterator[Batch]:
    """All cells in turn, so that a study that is cut short has looked at each of them."""
    cells = [(word, scale) for word in words for scale in scales]
    for i in range(-(-runs // SEEDS)):
        (word, scale), turn = cells[i % len(cells)], i // len(cells)
        yield Batch(word, SIZES[turn % len(SIZES)], 100 + turn, scale)


def judged(path: mf.Trajectory, end: mf.Trajectory) -> dict[str, Any]:
    """What was said of `path`, beside what the same run is at its `end`."""
    same = bool((path.selected(-1) == end.selected(-1)).all())
    said = path.status.name
    both = path.ended.name == end.ended.name == "margin"
    return {
        "said": said,
        "contradicted": (said == "minimal_loss" and wrong(end)) or (said == "trapped" and not same),
        "sits": both and wrong(path) and same,
        "closeness": finite(path.verdict.closeness),
        "better_margin": finite(path.verdict.better_margin),
    }


def model(word: str, problem: mf.Problem) -> Any:
    if word == "kq":
        return mf.KeyQuery(max(problem.d, problem.d_z))
    return {"w": mf.Combined, "diag": mf.Diagonal, "diag-kq": mf.DiagonalKeyQuery}[word]()


def wrong(path: mf.Trajectory) -> bool:
    rows = np.arange(path.problem.n)
    scores = path.problem.scores
    return bool((scores[rows, path.selected(-1)] < scores[rows, path.problem.optimal]).any())


def finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def finished(path: Path, header: dict[str, Any], resume: bool) -> list[dict[str, Any]]:
    """The runs in `path`, whole batches only; it is begun anew unless it is to be resumed."""
    found = kept(path, header, resume)
    # A kill may have cut a batch.
    whole = Counter(Batch.of(run) for run in found)
    runs = [run for run in found if whole[Batch.of(run)] == SEEDS]
    begin(path, header, runs)
    return runs


def report(runs: list[dict[str, Any]]) -> list[str]:
    """The table, the shares of traps told, and the contradictions by name."""
    cells: dict[tuple[str, float], Counter[str]] = {}
    against = []
    for run in runs:
        c = cells.setdefault((run["word"], run["scale"]), Counter())
        c.update(runs=1, reached=run["reached"])
        for margin in MARGINS:
            at = run[f"{margin:g}"]
            c[f"{at['said']} {margin:g}"] += 1
            c[f"sits {margin:g}"] += at["sits"]
            c[f"told {margin:g}"] += at["sits"] and at["said"] == "trapped"
            if at["contradicted"]:
                name = f"{run['word']} sphere:{run['size']},seed={run['seed']} scale {run['scale']:g}"
                against.append(f"{name} start {run['start']}: {at['said']} at {margin:g}")
    lines = [
        "| flow | scale | runs | reached 1e12 | sits in a trap at 1e3, 1e4, 1e6 | told there | minimal loss at 1e6 |",
        "|---|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for (word, scale), c in sorted(cells.items(), key=lambda cell: (WORDS.index(cell[0][0]), cell[0][1])):
        total += c
        sits, told = (", ".join(str(c[f"{what} {m:g}"]) for m in MARGINS) for what in ("sits", "told"))
        lines.append(
            f"| {word} | {scale:g} | {c['runs']} | {c['reached']} | {sits} | {told} | {c['minimal_loss 1e+06']} |"
        )
    for margin in MARGINS:
        sits, told = total[f"sits {margin:g}"], total[f"told {margin:g}"]
        lines.append(f"at {margin:g}: {told} of {sits} traps told ({told / max(sits, 1):.1%})")
    lines.append(f"{len(against)} contradictions in {total['runs']} runs")
    return lines + against


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--scale", type=float, action="append")
    parser.add_argument("--word", action="append", choices=WORDS)
    parser.add_argument("--file", type=Path, default=Path("out/verdicts.jsonl"), help="where finished runs are kept")
    parser.add_argument("--resume", action="store_true", help="keep the runs that the file holds")
    asked = parser.parse_args()
    header = {"code": code(__file__), "margins": MARGINS, "late": LATE, "seeds": SEEDS}
    runs = finished(asked.file, json.loads(json.dumps(header)), asked.resume)
    known = {Batch.of(run) for run in runs}
    begun = time.process_time()
    try:
        with asked.file.open("a") as file:
            for batch in batches(asked.runs, tuple(asked.word or WORDS), tuple(asked.scale or SCALES)):
                if batch in known:
                    continue
                made = batch.runs()
                file.write("".join(json.dumps(run) + "\n" for run in made))
                file.flush()
                runs += made
    except KeyboardInterrupt:
        print("interrupted: what was finished")
    print("\n".join(report(runs)))
    print(f"{time.process_time() - begun:.0f} CPU s")


if __name__ == "__main__":
    main()

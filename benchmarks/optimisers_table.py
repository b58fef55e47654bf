"""Every optimiser against the certified norms: the tables of docs/optimisers.md, measured.

    python benchmarks/optimisers_table.py                          # 30 problems, 1e5 steps; about an hour of CPU
    python benchmarks/optimisers_table.py --problems 6 --iterations 10000 --only w

A row is an optimiser at one rate on every problem, problem i from seed i. Gaps are medians in per cent over the runs
that separate, after 1e3, 1e4 and 1e5 steps (at the snapshots nearest to them). `prototype` is what 30 problems gave
after 1e4 steps before this code existed, own norm; rows further from it than a factor 1.3 there are marked. Finished
rows are kept in --folder and not run again.
"""

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import marginflow as mf
from marginflow.claims import steps


FULL = ("nuclear", "frobenius", "operator", "entry-linf", "entry-l1")
DIAGONALS = ("l2", "linf", "l1")
FAMILIES = {"w": steps.FAMILY, "kq": steps.FAMILY, "diag": "equal:n=3,T=4,d=10", "diag-kq": "equal:n=3,T=4,d=10"}
FACTOR = 1.3


class Row(NamedTuple):
    """An optimiser, its rate, samples a step (0: all), the norm to look at, and the prototype's gap in it, per cent."""

    rule: str
    rate: str
    own: str
    prototype: float
    batch: int = 0


W = (
    Row("gd", "1", "frobenius", 17.4),
    Row("gd", "30", "frobenius", 10.5),
    Row("gd:momentum=0.9", "1", "frobenius", 12.4),
    Row("gd:momentum=0.9,nesterov=true", "1", "frobenius", 12.4),
    Row("ngd", "0.02", "frobenius", 1.42),
    Row("ngd", "power:0.5,0.5", "frobenius", 3.0),
    Row("sign", "0.01", "entry-linf", 0.73),
    Row("sign:momentum=0.9", "0.01", "entry-linf", 0.74),
    Row("lion", "0.001", "entry-linf", 7.6),
    Row("adam:b1=0.9,b2=0.95,eps=0", "0.01", "entry-linf", 1.2),
    Row("adam:b1=0.9,b2=0.999,eps=0", "0.01", "entry-linf", 71.0),
    Row("adam:b1=0.9,b2=0.999,eps=0.001", "0.01", "frobenius", 17.4),
    Row("spectral", "0.01", "operator", 2.0),
    Row("spectral:momentum=0.95,nesterov=true", "0.01", "operator", 2.0),
    Row("muon:momentum=0.95,eps=0", "0.01", "operator", 14.5),
    Row("shampoo:beta=0.95", "0.01", "operator", 2.0),
    Row("nuclear", "0.02", "nuclear", 3.3),
    Row("coordinate", "0.1", "entry-l1", 2.1),
    Row("gd", "1", "frobenius", 17.2, 1),
    Row("adam:b1=0.9,b2=0.999,eps=0", "0.01", "entry-linf", 91.0, 1),
    Row("sign", "0.01", "entry-linf", 629.0, 1),
    Row("sign:momentum=0.99", "0.001", "entry-linf", 8.7, 1),
)
KQ = (
    Row("gd", "1", "nuclear", 17.0),
    Row("gd", "30", "nuclear", 14.0),
    Row("gd:momentum=0.9", "1", "nuclear", 33.0),
    Row("gd:momentum=0.9,nesterov=true", "1", "nuclear", 26.0),
    Row("ngd", "0.02", "nuclear", 0.46),
    Row("ngd-separate", "0.02", "nuclear", 0.34),
    Row("spectral", "0.01", "operator", 0.44),
    Row("spectral", "power:0.1,0.5", "operator", 2.3),
    Row("spectral:momentum=0.95,nesterov=true", "0.01", "operator", 24.7),
    Row("muon:momentum=0.95,eps=0", "0.01", "operator", 71.0),
    Row("sign", "power:0.1,0.5", "factor-cut", 9.2),
    Row("sign", "0.01", "factor-cut", 323.0),
    Row("sign:momentum=0.9", "0.01", "factor-cut", 175.0),
    Row("lion", "0.001", "factor-cut", 163.0),
    Row("muon:momentum=0,eps=0", "0.01", "operator", 23.0),
    Row("adam:b1=0.9,b2=0.999,eps=0.001", "0.01", "nuclear", 18.0),
    Row("coordinate", "0.1", "nuclear", 169.0),
    Row("adam:b1=0.9,b2=0.95,eps=0", "0.01", "nuclear", 15.0),
    Row("adam:b1=0.9,b2=0.999,eps=0", "0.01", "nuclear", 23.0),
    Row("adam", "0.01", "nuclear", 23.0),
    Row("nuclear", "0.02", "nuclear", 35.0),
)
DIAG = (
    Row("ngd", "0.02", "l2", 2.0),
    Row("ngd", "power:0.5,0.5", "l2", 4.3),
    Row("gd", "30", "l2", 7.2),
    Row("gd:momentum=0.9", "30", "l2", 8.6),
    Row("sign", "0.01", "linf", 2.2),
    Row("sign", "power:0.1,0.5", "linf", 11.5),
    Row("sign:momentum=0.9", "0.01", "linf", 2.2),
    Row("adam:b1=0.9,b2=0.95,eps=0", "0.01", "linf", 2.3),
    Row("adam:b1=0.9,b2=0.999,eps=0", "0.01", "linf", 24.0),
    Row("coordinate", "0.1", "l1", 0.90),
)
DIAG_KQ = (
    Row("ngd", "0.02", "l1", 1.3),
    Row("ngd", "power:0.5,0.5", "l1", 2.5),
    Row("gd", "30", "l1", 16.0),
    Row("gd:momentum=0.9", "1", "l1", 28.0),
    Row("sign", "0.01", "linf", 3.6),
    Row("sign", "power:0.1,0.5", "linf", 3.05),
    Row("sign:momentum=0.9", "0.01", "linf", 40.0),
    Row("adam:b1=0.9,b2=0.95,eps=0", "0.01", "linf", 3.1),
    Row("adam:b1=0.9,b2=0.999,eps=0", "0.01", "linf", 39.0),
)
TABLES = {"w": W, "kq": KQ, "diag": DIAG, "diag-kq": DIAG_KQ}


MARKS = (1e3, 1e4, 1e5)
PROTOTYPE_AT = 1e4


def measure(word: str, row: Row, problems: int, iterations: int) -> dict[str, Any]:
    """One row."""
    started = time.process_time()
    data = steps.problems(problems, FAMILIES[word])
    runs = mf.descend_many(
        data,
        word,
        row.rule,
        seeds=range(problems),
        rate=row.rate,
        iterations=iterations,
        batch=row.batch or None,
    )
    marks = [mark for mark in MARKS if mark < iterations] + [iterations]
    at = {mark: [steps.near(path, mark) for path in runs] for mark in marks}
    norms = DIAGONALS if word.startswith("diag") else FULL
    gaps = {norm: [_median(runs, norm, at[mark]) for mark in marks] for norm in norms}
    if word == "kq":
        gaps |= {f"factor-{norm}": [_median(runs, f"factor-{norm}", at[mark]) for mark in marks] for norm in FACTORS}
    margins = [np.median([steps.margin(path, i) for path, i in zip(runs, at[m], strict=True)]) for m in marks]
    found = gaps[row.own][marks.index(PROTOTYPE_AT)] if PROTOTYPE_AT in marks else float("nan")
    return {
        "parameterization": word,
        "optimizer": row.rule,
        "rate": row.rate,
        "batch": row.batch,
        "problems": problems,
        "iterations": iterations,
        "minimal_loss": sum(path.status.name == "minimal_loss" for path in runs),
        "ended": sorted({path.ended.name for path in runs}),
        "margin": [float(m) for m in margins],
        "own": row.own,
        "marks": marks,
        "gaps": gaps,
        "prototype": row.prototype,
        "differs": bool(found == found and not 1.0 / FACTOR <= found / row.prototype <= FACTOR),
        "cpu": time.process_time() - started,
    }


def _median(runs: list[Any], norm: str, at: list[int]) -> float:
    """Per cent, over the runs that separate there."""
    gap = _factor_gap if norm.startswith("factor-") else steps.gap
    found = [gap(path, norm, i) for path, i in zip(runs, at, strict=True) if steps.margin(path, i) > 0.0]
    return 100.0 * float(np.median(found)) if found else float("nan")


def _factor_gap(path: Any, name: str, i: int) -> float:
    """Of what a step in that norm of K and of Q minimises of the two: theory 7.1."""
    norm = name.removeprefix("factor-")
    size = max(FACTORS[norm](x) for x in path.parameters(i).values())
    reached = steps.margin(path, i) * float(steps.least(path.problem, norm).certificate.lower)
    return (WIDTH if norm == "cut" else 1) * size * size / reached - 1.0


FACTORS = {"operator": lambda x: np.linalg.norm(x, 2), "cut": lambda x: np.abs(x).max()}
WIDTH = 10


def line(row: dict[str, Any]) -> str:
    """As a row of the page."""
    cells = []
    for norm, found in row["gaps"].items():
        shown = " -> ".join(f"{value:.3g}" for value in found) if norm == row["own"] else f"{found[-1]:.3g}"
        cells.append(f"**{shown}**" if norm == row["own"] else shown)
    batch = f", {row['batch']} sample a step" if row["batch"] else ""
    mark = " (!)" if row["differs"] else ""
    reached = f"{row['minimal_loss']}/{row['problems']}"
    first = [f"`{row['optimizer']}`{batch}", row["rate"], reached, f"{row['margin'][-1]:.3g}"]
    return "| " + " | ".join([*first, *cells, f"{row['prototype']:.3g}{mark}"]) + " |"


def kept(folder: Path, word: str, row: Row, problems: int, iterations: int) -> dict[str, Any]:
    """The row, from its file where it has been measured."""
    name = "_".join([word, row.rule, row.rate, str(row.batch), str(problems), str(iterations)])
    file = folder / (re.sub(r"[^A-Za-z0-9.=-]", "_", name) + ".json")
    if file.exists():
        return dict(json.loads(file.read_text()))
    found = measure(word, row, problems, iterations)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--iterations", type=int, default=100_000)
    parser.add_argument("--only", choices=list(TABLES), action="append")
    parser.add_argument("--rows", help="only rows whose rule contains this")
    parser.add_argument("--folder", type=Path, default=Path("out/optimisers-table"), help="of finished rows")
    options = parser.parse_args()
    rows = []
    for word in options.only or TABLES:
        print(f"\n{word}, {FAMILIES[word]}, {options.problems} problems, {options.iterations} steps\n")
        head = False
        for row in TABLES[word]:
            if options.rows and options.rows not in row.rule:
                continue
            rows.append(kept(options.folder, word, row, options.problems, options.iterations))
            if not head:
                norms = rows[-1]["gaps"]
                print("| optimiser | rate | minimal loss | margin | " + " | ".join(norms) + " | prototype |")
                print("|---" * (5 + len(norms)) + "|")
                head = True
            print(line(rows[-1]), flush=True)
    print(
        f"\n{sum(row['differs'] for row in rows)} of {len(rows)} rows differ from the prototype by more than {FACTOR}"
    )


if __name__ == "__main__":
    main()

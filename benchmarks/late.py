"""Late steps at rtol 1e-3 against Rodas at 1e-6 on random runs: tokens, verdicts, log t and direction at margin 1e6.

    python benchmarks/late.py                         # 300 runs
    python benchmarks/late.py --resume --runs 600     # goes on where an interrupted study stopped

The late step is taken wherever its formulas hold, whether it pays or not: most problems are small, so that the
reference is cheap. Every run is made a third time, by Rodas at rtol 1e-3: its own distance from the reference is what
late steps are measured by, and where it differs too, it is the tolerance that decides. Each run is a line of `--file`,
written when it is finished; the first line holds the code that was run, and other code does not go on with that file.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np

import marginflow as mf
from kept_runs import begin, code, kept
from marginflow.arrays import Floats
from marginflow.flow.late_rule import LateRule
from marginflow.flow.loop import run
from marginflow.flow.record import Record
from marginflow.flow.state import Settings, first_state
from marginflow.losses import parse_loss
from marginflow.model.objective import Objective
from marginflow.problem import named
from marginflow.selection.judge import Judge


MARGIN = 1e6
RTOL, TIGHT = 1e-3, 1e-6
SIZES = ("n=4,T=4,d=8", "n=6,T=8,d=10", "n=5,T=6,d=4", "n=10,T=8,d=16", "n=12,T=10,d=12", "n=20,T=16,d=32")
LARGE = SIZES[-1:]
FAMILIES = ("sphere", "gaussian", "equal", "ragged")
SCALES = (0.01, 0.1, 1.0, 10.0)
LOSSES = ("exponential", "logistic")
KINDS = ("kq", "w", "diag", "kq-2", "kq-1")
METHODS = {"late": "late 1e-3", "loose": "Rodas 1e-3", "tight": "Rodas 1e-6"}
ALWAYS, NEVER = LateRule(tokens=0, linear_tokens=0), LateRule(rtol=1.0)


def problem_of(spec: str) -> mf.Problem:
    """A named problem; `ragged` is `sphere` without a third of its tokens, drawn, of which two a sample stay."""
    family, _, rest = spec.partition(":")
    if family != "ragged":
        return named.load(spec)
    full = named.load(f"sphere:{rest}")
    there = np.random.default_rng(full.n + full.T).random((full.n, full.T)) < 2 / 3
    there[:, :2] = True
    X = np.where(there[..., None], full.X, 0.0)
    return mf.Problem(X, full.z, np.where(there, full.scores, 0.0), mask=there)


@dataclass(frozen=True)
class End:
    """Where one run came to."""

    ended: str
    tokens: tuple[int, ...]
    said: str
    log_time: float
    steps: int
    W: Floats
    cpu: float

    def off(self, other: "End") -> dict[str, Any]:
        """What a row keeps of this run beside the reference `other`."""
        return {
            "ended": self.ended,
            "same": self.tokens == other.tokens,
            "said": self.said,
            "direction": float(np.linalg.norm(self.W - other.W)),
            "log_time": self.log_time - other.log_time,
            "steps": self.steps,
            "cpu": round(self.cpu, 3),
        }


def end(spec: str, kind: str, loss: str, scale: float, seed: int, rtol: float, late: LateRule) -> End:
    """One run: W is divided by its norm."""
    begun = time.process_time()
    problem = problem_of(spec)
    width = int(kind[3:] or problem.d) if kind.startswith("kq") else 0
    model = {"w": mf.Combined(), "diag": mf.Diagonal()}.get(kind) or mf.KeyQuery(width)
    arrays = model.draw(problem.d, problem.d_z, np.random.default_rng(seed), scale)
    objective = Objective.of([problem], model, parse_loss(loss))
    record = Record(Judge(problem, model, parse_loss(loss)))
    state = first_state(objective, model.map(problem.d, problem.d_z).pack(arrays)[None])
    record.add(state, 0)
    run(objective, state, Settings(MARGIN, rtol, 20_000, late), [record])
    snapshots = record.snapshots()
    W = objective.map.weights(snapshots.theta[-1:])[0]
    high = snapshots.high[-1] + snapshots.low[-1]
    return End(
        record.ended.name if record.ended else "",
        tuple(int(t) for t in high.argmax(axis=1)),
        record.judge(snapshots, record.ended).status.name,
        float(snapshots.log_time[-1]),
        int(snapshots.steps[-1]),
        W / np.linalg.norm(W),
        time.process_time() - begun,
    )


def compared(name: dict[str, Any]) -> dict[str, Any]:
    """One run in all three ways."""
    tight = end(**name, rtol=TIGHT, late=NEVER)
    late, loose = (end(**name, rtol=RTOL, late=rule).off(tight) for rule in (ALWAYS, NEVER))
    return name | {"late": late, "loose": loose, "tight": tight.off(tight)}


def differs(row: dict[str, Any], method: str = "late") -> bool:
    """Whether tokens, the end or a verdict that both give differ from the reference's."""
    ours, tight = row[method], row["tight"]
    verdicts = {ours["said"], tight["said"]} - {"undecided"}
    return not ours["same"] or ours["ended"] != tight["ended"] or len(verdicts) > 1


def names() -> Iterator[dict[str, Any]]:
    """The runs in turn: of every round a share of the cells, in the next another."""
    for seed in count():
        for family, size, scale, loss, kind in product(FAMILIES, SIZES, SCALES, LOSSES, KINDS):
            # From large starts every reference of this size takes minutes.
            if hash_of(family, size, scale, loss, kind, seed) % 16 == 0 and not (size in LARGE and scale > 1.0):
                yield {"spec": f"{family}:{size},seed={seed}", "kind": kind, "loss": loss, "scale": scale, "seed": seed}


def hash_of(*parts: Any) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


def report(rows: list[dict[str, Any]]) -> list[str]:
    """How many agree, how far apart those are by parameterisation, and the names of the others."""
    lines = [f"{len(rows)} runs, {sum(differs(row) for row in rows)} differ, by Rodas at rtol {RTOL:g}: "]
    lines[0] += f"{sum(differs(row, 'loose') for row in rows)}"
    lines += ["", "| | runs at 1e6 | steps | direction / rtol: median, 95 %, worst | log t: median, worst | CPU s |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind in KINDS:
        there = [row for row in rows if row["kind"] == kind and row["tight"]["ended"] == "margin" and not differs(row)]
        for method in METHODS if there else ():
            lines.append(line(kind, method, [row[method] for row in there]))
    lines.append("")
    for row in rows:
        if differs(row):
            why = "Rodas at 1e-3 too" if differs(row, "loose") else "LATE STEPS ALONE"
            ends = ", ".join(f"{m} {row[m]['ended']} {row[m]['said']}" for m in ("late", "loose", "tight"))
            lines.append(f"  {row['kind']} {row['loss']} {row['spec']} scale {row['scale']:g}: {ends}; {why}")
    return lines


def line(kind: str, method: str, runs: list[dict[str, Any]]) -> str:
    """The runs of a parameterisation by one method beside the reference."""
    off = np.array([run["direction"] for run in runs]) / RTOL
    log_time = np.abs([run["log_time"] for run in runs])
    return (
        f"| {kind}, {METHODS[method]} | {len(runs)} | {sum(run['steps'] for run in runs)} | {np.median(off):.2g}, "
        f"{np.quantile(off, 0.95):.2g}, {off.max():.2g} | {np.median(log_time):.2g}, {log_time.max():.2g} | "
        f"{sum(run['cpu'] for run in runs):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--file", type=Path, default=Path("out/late.jsonl"), help="where finished runs are kept")
    parser.add_argument("--resume", action="store_true", help="keep the runs that the file holds")
    asked = parser.parse_args()
    header = {"code": code(__file__)}
    rows = kept(asked.file, header, asked.resume)
    begin(asked.file, header, rows)
    try:
        with asked.file.open("a") as file:
            for i, name in enumerate(names()):
                if i >= asked.runs:
                    break
                if i >= len(rows):
                    rows.append(compared(name))
                    file.write(json.dumps(rows[-1]) + "\n")
                    file.flush()
    except KeyboardInterrupt:
        print("interrupted: what was finished")
    print("\n".join(report(rows)))


if __name__ == "__main__":
    main()

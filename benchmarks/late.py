"""Late steps at rtol 1e-3 against Rodas at 1e-6 on random runs: tokens, verdicts, log t and direction at margin 1e6.

    python benchmarks/late.py                         # 300 runs
    python benchmarks/late.py --resume --runs 600     # goes on where an interrupted study stopped

The late step is taken wherever its formulas hold, whether it pays or not: problems are small, so that it crosses few
contacts at once and the reference is cheap. A run that does not agree is made once more, by Rodas at rtol 1e-3: where
that agrees with the late one, what decided lies before the late steps. Each run is a line of `--file`, written when
it is finished; the first line holds the code that was run, and other code does not go on with that file.
"""

import argparse
import hashlib
import json
import time
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np

import marginflow as mf
from kept_runs import begin, code, kept
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
SIZES = ("n=4,T=4,d=8", "n=6,T=8,d=10", "n=5,T=6,d=4", "n=10,T=8,d=16", "n=12,T=10,d=12")
SCALES = (0.01, 0.1, 1.0, 10.0)
LOSSES = ("exponential", "logistic")
KINDS = ("kq", "w", "diag", "kq-2")
ALWAYS, NEVER = LateRule(tokens=0, linear_tokens=0), LateRule(rtol=1.0)


def end(spec: str, kind: str, loss: str, scale: float, seed: int, rtol: float, late: LateRule) -> dict[str, Any]:
    """The end of one run: tokens, verdict, log t, direction, steps and CPU seconds."""
    begun = time.process_time()
    problem = named.load(spec)
    model = {"w": mf.Combined(), "diag": mf.Diagonal(), "kq-2": mf.KeyQuery(2)}.get(kind) or mf.KeyQuery(problem.d)
    arrays = model.draw(problem.d, problem.d_z, np.random.default_rng(seed), scale)
    objective = Objective.of([problem], model, parse_loss(loss))
    record = Record(Judge(problem, model, parse_loss(loss)))
    state = first_state(objective, model.map(problem.d, problem.d_z).pack(arrays)[None])
    record.add(state, 0)
    run(objective, state, Settings(MARGIN, rtol, 20_000, late), [record])
    snapshots = record.snapshots()
    W = objective.map.weights(snapshots.theta[-1:])[0]
    high = snapshots.high[-1] + snapshots.low[-1]
    return {
        "ended": record.ended.name if record.ended else "",
        "tokens": [int(t) for t in high.argmax(axis=1)],
        "said": record.judge(snapshots, record.ended).status.name,
        "log_time": float(snapshots.log_time[-1]),
        "steps": int(snapshots.steps[-1]),
        "W": (W / np.linalg.norm(W)).ravel().tolist(),
        "cpu": time.process_time() - begun,
    }


def compared(name: dict[str, Any]) -> dict[str, Any]:
    """One run both ways."""
    late, tight = end(**name, rtol=RTOL, late=ALWAYS), end(**name, rtol=TIGHT, late=NEVER)
    out = name | {"ended": [late["ended"], tight["ended"]], "said": [late["said"], tight["said"]]}
    out["same"] = late["tokens"] == tight["tokens"]
    out["direction"] = float(np.linalg.norm(np.subtract(late["W"], tight["W"])))
    out["log_time"] = late["log_time"] - tight["log_time"]
    out["steps"], out["cpu"] = [late["steps"], tight["steps"]], [late["cpu"], tight["cpu"]]
    if differs(out):
        loose = end(**name, rtol=RTOL, late=NEVER)
        out["loose"] = loose["tokens"] == late["tokens"] and loose["ended"] == late["ended"]
    return out


def differs(row: dict[str, Any]) -> bool:
    """Whether tokens, the end or a verdict that both give differ."""
    verdicts = set(row["said"]) - {"undecided"}
    return not row["same"] or row["ended"][0] != row["ended"][1] or len(verdicts) > 1


def names() -> Any:
    """The runs in turn, every cell before the next problem."""
    for seed in count():
        for size, scale, loss, kind in product(SIZES, SCALES, LOSSES, KINDS):
            # A share of the cells in each round, another in the next.
            if hash_of(size, scale, loss, kind, seed) % 8 == 0:
                yield {"spec": f"sphere:{size},seed={seed}", "kind": kind, "loss": loss, "scale": scale, "seed": seed}


def hash_of(*parts: Any) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)


def report(rows: list[dict[str, Any]]) -> list[str]:
    """How many agree, how far the others are, and their names."""
    agreed = [row for row in rows if row["same"] and row["ended"] == ["margin", "margin"]]
    direction = np.array([row["direction"] for row in agreed]) / RTOL
    log_time = np.abs([row["log_time"] for row in agreed])
    lines = [
        f"{len(rows)} runs, {sum(differs(row) for row in rows)} differ; steps "
        f"{sum(row['steps'][0] for row in rows)} late, {sum(row['steps'][1] for row in rows)} tight"
    ]
    if len(agreed):
        lines.append(
            f"of {len(agreed)} with the same tokens at 1e6: direction over rtol: median {np.median(direction):.2g}, "
            f"95 % {np.quantile(direction, 0.95):.3g}, worst {direction.max():.3g}; log t off by "
            f"median {np.median(log_time):.3g}, worst {log_time.max():.3g}"
        )
    for row in rows:
        if differs(row):
            why = "Rodas at 1e-3 as the late steps" if row["loose"] else "LATE STEPS ALONE"
            lines.append(f"  {row['kind']} {row['loss']} {row['spec']} scale {row['scale']:g}: {row['ended']}, {why}")
    return lines


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

"""Where flows of outputs in R^k end, against what was said before they began.

    python benchmarks/faces.py                      # 300 runs: 200 of cross-entropy, 100 of other losses
    python benchmarks/faces.py --resume             # goes on where an interrupted study stopped
    python benchmarks/faces.py --runs 30
    python benchmarks/faces.py --starts             # 90 runs of one setting: does the size of the start matter?

Every run is followed to a lead of 1e6 out of the faces that it is on. It *meets* the least loss if these are the faces
that `mf.faces` gave; else the rule (docs/flow.md 14) is asked of them. A run contradicts if it was said to reach the
least loss and is on other faces, or if the rule says of the faces that it is on that they are left. Each run is a line
of `--file`, written when it is finished. With `--starts` runs go to a lead of 1e4, and those of W are repeated with
SciPy's LSODA on the loss itself, to log t = 16: are they on the same faces?
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import softmax

import marginflow as mf
from kept_runs import begin, code, kept
from marginflow.selection.of_values import JudgeOfValues


LEAD = 1e6
SIZES = ("n=4,T=5,d=8,k=4", "n=4,T=5,d=8,k=4,scale=10.0", "n=3,T=4,d=6,k=3,scale=1.0", "n=4,T=4,d=8,k=5")
LOSSES = ("cross-entropy", "cross-entropy", "cross-entropy:smoothing=0.1", "cross-entropy", "squared", "cross-entropy")
WORDS = ("w", "kq", "kq:wide")
SCALES = (0.1, 1.0)
STARTS = (1e-3, 0.1, 1.0)


def cells(runs: int) -> Iterator[dict[str, Any]]:
    """All settings in turn, on other problems each time round."""
    for i in range(runs):
        yield {
            "problem": f"classes:{SIZES[i % 4].replace(',scale', f',seed={100 + i},scale', 1)}"
            if "scale" in SIZES[i % 4]
            else f"classes:{SIZES[i % 4]},seed={100 + i}",
            "loss": LOSSES[(i // 4) % len(LOSSES)],
            "word": WORDS[(i // 2) % len(WORDS)],
            "scale": SCALES[(i // 3) % 2],
            "seed": 7,
            "lead": LEAD,
        }


def cells_of_starts() -> Iterator[dict[str, Any]]:
    """Fifteen problems of one size from small, usual and large starts."""
    for scale in STARTS:
        for seed in range(15):
            for word in ("w", "kq"):
                problem = f"classes:{SIZES[0]},seed={seed}"
                yield {"problem": problem, "loss": LOSSES[0], "word": word, "scale": scale, "seed": seed, "lead": 1e4}


def outcome(cell: dict[str, Any]) -> dict[str, Any]:
    """One run and what is said of it."""
    problem, began = mf.load(cell["problem"]), time.process_time()
    kind = mf.KeyQuery(problem.d + problem.d_z) if cell["word"] == "kq:wide" else cell["word"]
    try:
        start, lead = {"scale": cell["scale"], "seed": cell["seed"]}, cell["lead"]
        path = mf.integrate(problem, kind, loss=cell["loss"], until_margin=lead, **start)
    except mf.InputError as error:
        return cell | {"refused": str(error)}
    held, predicted = path.held, path.limit
    met = held is not None and bool((held.faces.members == predicted.faces.members).all())
    out = cell | {"status": path.status.name, "ended": path.ended.name, "steps": path.steps, "met": met}
    out |= {
        "cpu": time.process_time() - began,
        "margin": float(path.margin[-1]),
        "log_excess": float(path.log_excess[-1]),
    }
    out |= {"reason": path.reason, "several": int((predicted.faces.members.sum(axis=1) > 1).sum())}
    if held is not None:
        p = attention(path)
        out["share_error"] = float(np.abs(p - held.faces.shares).max())
        said = JudgeOfValues(problem, path.parameterization, path.loss).end(held)
        out |= {"rule": said.says.name, "better": said.margin if np.isfinite(said.margin) else None}
        if cell["lead"] < LEAD and cell["word"] == "w":
            out["as_scipy"] = bool(((by_scipy(path) > 1e-2) == held.faces.members).all())
    return out


def by_scipy(path: mf.Trajectory) -> Any:
    """(n, T) attention at log t = 16 of the flow of W under cross-entropy from the same start, by SciPy's LSODA."""
    problem, start = path.problem, path.W(0)
    seen = (problem.X[..., None] * problem.z[:, None, None, :]).reshape(*problem.mask.shape, -1)

    def rate(log_time: float, W: Any) -> Any:
        p = softmax(seen @ W, axis=1)
        off = softmax(np.einsum("nt,ntk->nk", p, problem.values), axis=1) - np.eye(problem.k)[problem.labels]
        score = -np.einsum("nk,ntk->nt", off, problem.values)
        force = p * (score - (p * score).sum(axis=1, keepdims=True))
        return np.exp(log_time) / problem.n * np.einsum("nt,ntw->w", force, seen)

    got = solve_ivp(rate, (-5.0, 16.0), start.ravel(), method="LSODA", rtol=1e-7, atol=1e-9)
    return softmax(seen @ got.y[:, -1], axis=1)


def attention(path: mf.Trajectory) -> Any:
    """(n, T) that of the last weights themselves."""
    problem = path.problem
    logits = np.einsum("ntd,de,ne->nt", problem.X, path.W(-1), problem.z)
    logits = np.where(problem.mask, logits, -np.inf)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def table(runs: list[dict[str, Any]]) -> str:
    """Counts by loss and parameterisation, and by start where that is what is studied."""
    lines = ["| loss | flow | start | runs | on the predicted faces | on others, a possible end | open | against |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in runs:
        start = f"{run['scale']:g}" if run["lead"] < LEAD else "all"
        groups.setdefault((run["loss"], run["word"], start), []).append(run)
    for group, own in sorted(groups.items()):
        kinds = Counter(kind(run) for run in own if "refused" not in run)
        counts = [sum(kinds.values()), *(kinds[name] for name in ("met", "other", "open", "against"))]
        lines.append(f"| {' | '.join(map(str, (*group, *counts)))} |")
    return "\n".join(lines)


def kind(run: dict[str, Any]) -> str:
    """met, other, open or against."""
    if run["status"] == "minimal_loss" and not run["met"]:
        return "against"
    if run["ended"] != "margin" or "rule" not in run:
        return "open"
    if run["met"]:
        return "met"
    return {"possible": "other", "left": "against", "undecided": "open"}[run["rule"]]


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--file", type=Path, default=Path("faces.jsonl"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--starts", action="store_true")
    asked = parser.parse_args()
    if asked.file.exists() and not asked.resume:
        raise SystemExit(f"{asked.file} exists: --resume goes on with it")
    header = {"code": code(__file__)}
    done = kept(asked.file, header, asked.resume)
    begin(asked.file, header, done)
    for i, cell in enumerate(cells_of_starts() if asked.starts else cells(asked.runs)):
        if i < len(done):
            continue
        done.append(outcome(cell))
        with asked.file.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")
    ran = [run for run in done if "refused" not in run]
    print(table(done))
    met = [run for run in ran if kind(run) == "met"]
    proved = sum(run["status"] == "minimal_loss" for run in ran)
    print(f"{len(done) - len(ran)} refused; {proved} proved to reach the least loss")
    print(f"largest share error {max((r['share_error'] for r in ran if 'share_error' in r), default=0.0):.1e}")
    print(f"largest log excess where met {max((r['log_excess'] for r in met), default=float('nan')):.6g}")
    print(f"several members in {sum(r['several'] > 0 for r in ran)} of {len(ran)} runs")
    same = [run["as_scipy"] for run in ran if "as_scipy" in run]
    if same:
        print(f"on the faces of SciPy's run: {sum(same)} of {len(same)}")
    print(f"CPU s, median {np.median([r['cpu'] for r in ran]):.2f}")


if __name__ == "__main__":
    main()

"""What is large: flows by late steps beside Rodas alone, accuracy beside time, and SVMs (docs/scale.md).

    python benchmarks/scale.py --quick                            # small sizes of both tables
    python benchmarks/scale.py                                    # flows up to (80,32,64), every SVM of scale_svm.py
    python benchmarks/scale.py --size 200,64,128 --only late --cpu 1400
    python benchmarks/scale.py --size 200,64,128 --only late --verdict
    python benchmarks/scale.py --growth                           # time and memory against n, T and d

A row is one flow of one `sphere` problem (problem seed = start seed, scale 0.1) by one method. Direction and log t are
compared, where both reach the margin, with Rodas at `--reference`, or else with the first row. A run that uses up
`--cpu` seconds stops where it is and says its lead. CPU seconds, not wall: of this process, one BLAS thread. Rows of
`--growth` are each a process of its own, whose peak memory is told.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

import marginflow as mf
import scale_svm
from marginflow.blas import one_thread
from marginflow.flow.late_rule import LateRule
from marginflow.flow.loop import run
from marginflow.flow.record import Record
from marginflow.flow.state import Progress, Settings, first_state
from marginflow.losses import parse_loss
from marginflow.model.objective import Objective
from marginflow.problem.random import sphere
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import Verdict


Size = tuple[int, int, int]

QUICK_SIZES: Final = ("6,8,10", "20,16,32")
SIZES: Final = (*QUICK_SIZES, "40,20,40", "80,32,64")
GROWTH: Final = {
    "n": ("100,8,32", "1000,8,96", "10000,2,128"),
    "T": ("40,16,64", "40,64,64", "40,256,64"),
    "d": ("40,16,192", "40,16,768"),
}
METHODS = {"late": LateRule(), "rodas": LateRule(rtol=1.0)}


@dataclass(frozen=True)
class Row:
    """How one flow went."""

    ended: str
    steps: int
    lead: float
    log_time: float
    tokens: tuple[int, ...]
    said: str
    W: np.ndarray
    cpu: float
    judging: float


@dataclass(eq=False)
class TimedJudge(Judge):
    """Adds up the CPU seconds that it takes."""

    used: float = 0.0

    def __call__(self, snapshots: Snapshots, ended: Ended | None, **options: bool) -> Verdict:
        begun = time.process_time()
        said = super().__call__(snapshots, ended, **options)
        self.used += time.process_time() - begun
        return said


@dataclass(frozen=True)
class Run:
    """What every flow of a table is made with: a margin, a limit in CPU seconds, and whether a verdict ends it."""

    margin: float
    cpu: float
    until_verdict: bool = False

    @one_thread()
    def row(self, size: Size, word: str, seed: int, method: str, rtol: float) -> Row:
        """One flow by one method."""
        n, T, d = size
        problem, loss = sphere(n=n, T=T, d=d, seed=seed), parse_loss("exponential")
        model = mf.Combined() if word == "w" else mf.KeyQuery(d)
        objective, record = Objective.of([problem], model, loss), Record(TimedJudge(problem, model, loss))
        theta = objective.map.pack(model.draw(d, d, np.random.default_rng(seed), 0.1))
        state = first_state(objective, theta[None])
        record.add(state, 0)
        begun = time.process_time()
        settings = Settings(self.margin, rtol, 20_000, METHODS[method])
        try:
            run(objective, state, settings, [record], limit(begun + self.cpu), self.until_verdict)
        except KeyboardInterrupt:
            pass
        used, judging = time.process_time() - begun, record.judge.used
        seen = record.snapshots()
        high, W = seen.high[-1] + seen.low[-1], model.map(d, d).weights(seen.theta[-1:])[0]
        ended = record.ended.name if record.ended else ""
        said = record.judge(seen, record.ended).status.name if ended in ("margin", "verdict") else "-"
        return Row(
            ended,
            int(seen.steps[-1]),
            float(np.partition(-high, 1, axis=1)[:, 1].min()),
            float(seen.log_time[-1]),
            tuple(high.argmax(axis=1)),
            said,
            W / np.linalg.norm(W),
            used,
            judging,
        )


def limit(until: float) -> Callable[[Progress], None]:
    """Stops a run once this process has used that much."""

    def seen(progress: Progress) -> None:
        if time.process_time() > until:
            raise KeyboardInterrupt

    return seen


def flows(asked: argparse.Namespace) -> None:
    """Print a line for every size, flow, seed and method."""
    rtols = asked.rtol or [1e-3, 1e-4]
    runs = [(asked.only, rtol) for rtol in rtols] if asked.only else [("rodas", asked.reference), ("rodas", rtols[0])]
    runs += [] if asked.only else [("late", rtol) for rtol in rtols]
    print(
        "| n,T,d | flow | seed | method | rtol | ended | lead | steps | CPU s | of it judging | direction | log t | "
        "tokens off | said |"
    )
    print("|---" * 14 + "|")
    made = Run(asked.margin, asked.cpu, asked.verdict)
    sizes = asked.size or (QUICK_SIZES if asked.quick else SIZES)
    for text, word, seed in product(sizes, asked.word or ["kq", "w"], asked.seed or [0]):
        n, T, d = map(int, text.split(","))
        first = None
        for method, rtol in runs:
            got = made.row((n, T, d), word, seed, method, rtol)
            first = first or got
            print(
                f"| {text} | {word} | {seed} | {method} | {rtol:g} | {got.ended} | {got.lead:.3g} | "
                f"{got.steps} | {got.cpu:.2f} | {got.judging:.2f} | {beside(got, first)} | {got.said} |",
                flush=True,
            )


def beside(got: Row, first: Row) -> str:
    """How far a run is from the first of its flow."""
    if got is first or not first.ended == got.ended == "margin":
        return "- | - | -"
    off = sum(a != b for a, b in zip(got.tokens, first.tokens, strict=True))
    return f"{np.linalg.norm(got.W - first.W):.1e} | {got.log_time - first.log_time:.2g} | {off}"


def growth(asked: argparse.Namespace) -> None:
    """Print time and peak memory of flows to lead 1e3 and of SVMs, each a process of its own."""
    print("| in | n,T,d | what | ended | lead | steps | CPU s | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, sizes in GROWTH.items():
        for text, word in product(sizes, ("w", "kq", "svm")):
            command = [sys.executable, __file__, "--one", word, text, "--cpu", str(asked.cpu)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"| {name} | {text} | {word} | {done.stdout.strip()} |", flush=True)


def one(word: str, text: str, cpu: float) -> str:
    """A row of `growth`, in this process."""
    n, T, d = map(int, text.split(","))
    if word == "svm":
        found = scale_svm.run("nuclear", (n, T, d))
        return f"{found['status']} | | {found['steps']} | {found['seconds']:.2f} | {found['memory']}"
    got = Run(1e3, cpu).row((n, T, d), word, 0, "late", 1e-3)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"{got.ended or 'out of time'} | {got.lead:.3g} | {got.steps} | {got.cpu:.2f} | {memory}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--growth", action="store_true", help="time and memory against n, T and d instead")
    parser.add_argument("--verdict", action="store_true", help="a run ends when its verdict is certain")
    parser.add_argument("--size", action="append", help="n,T,d; repeatable; flows alone")
    parser.add_argument("--word", action="append", choices=("w", "kq"))
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--only", choices=tuple(METHODS), help="one method at --rtol, no reference")
    parser.add_argument("--rtol", action="append", type=float, help="of the late steps; Rodas runs at the first")
    parser.add_argument("--reference", type=float, default=1e-6)
    parser.add_argument("--margin", type=float, default=1e6)
    parser.add_argument("--cpu", type=float, default=600.0, help="CPU seconds for one run")
    parser.add_argument("--one", nargs=2, metavar=("WORD", "SIZE"), help="a row of --growth")
    asked = parser.parse_args()
    if asked.one:
        print(one(*asked.one, asked.cpu))
        return
    print("load", *(f"{x:.1f}" for x in os.getloadavg()), "on", os.cpu_count(), "CPUs")
    if asked.growth:
        growth(asked)
        return
    flows(asked)
    if not asked.size:
        print()
        scale_svm.table(scale_svm.QUICK if asked.quick else scale_svm.FULL, asked.cpu)


if __name__ == "__main__":
    main()

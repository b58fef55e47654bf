"""Large flows: late steps beside Rodas alone in one run, accuracy beside time (docs/flow.md 13).

    python benchmarks/scale.py                                    # (20,16,32) and (40,20,40), both flows
    python benchmarks/scale.py --size 80,32,64 --seed 0 --seed 1
    python benchmarks/scale.py --size 200,64,128 --only late --cpu 1400

A row is one flow of one `sphere` problem (problem seed = start seed, scale 0.1) by one method. Direction and log t are
compared, where both reach the margin, with Rodas at `--reference`, or else with the first row. A run that uses up
`--cpu` seconds stops where it is and says its lead. CPU seconds, not wall: of this process, one BLAS thread.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import marginflow as mf
from marginflow.blas import one_thread
from marginflow.flow.late_rule import LateRule
from marginflow.flow.loop import run
from marginflow.flow.record import Record
from marginflow.flow.state import Progress, Settings, first_state
from marginflow.losses import parse_loss
from marginflow.model.objective import Objective
from marginflow.problem.random import sphere
from marginflow.selection.judge import Judge


SIZES = ((20, 16, 32), (40, 20, 40))
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


@one_thread()
def row(size: tuple[int, int, int], word: str, seed: int, method: str, rtol: float, margin: float, cpu: float) -> Row:
    """One flow by one method."""
    n, T, d = size
    problem, loss = sphere(n=n, T=T, d=d, seed=seed), parse_loss("exponential")
    model = mf.Combined() if word == "w" else mf.KeyQuery(d)
    objective, record = Objective.of([problem], model, loss), Record(Judge(problem, model, loss))
    theta = objective.map.pack(model.draw(d, d, np.random.default_rng(seed), 0.1))
    state = first_state(objective, theta[None])
    record.add(state, 0)
    begun = time.process_time()
    settings = Settings(margin, rtol, 20_000, METHODS[method])
    try:
        run(objective, state, settings, [record], limit(begun + cpu))
    except KeyboardInterrupt:
        pass
    used = time.process_time() - begun
    seen = record.snapshots()
    high, W = seen.high[-1] + seen.low[-1], model.map(d, d).weights(seen.theta[-1:])[0]
    said = record.judge(seen, record.ended).status.name if record.ended and record.ended.name == "margin" else "-"
    return Row(
        record.ended.name if record.ended else "",
        int(seen.steps[-1]),
        float(np.partition(-high, 1, axis=1)[:, 1].min()),
        float(seen.log_time[-1]),
        tuple(high.argmax(axis=1)),
        said,
        W / np.linalg.norm(W),
        used,
    )


def limit(until: float) -> Callable[[Progress], None]:
    """Stops a run once this process has used that much."""

    def seen(progress: Progress) -> None:
        if time.process_time() > until:
            raise KeyboardInterrupt

    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", help="n,T,d; repeatable")
    parser.add_argument("--word", action="append", choices=("w", "kq"))
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--only", choices=tuple(METHODS), help="one method at --rtol, no reference")
    parser.add_argument("--rtol", action="append", type=float, help="of the late steps; Rodas runs at the first")
    parser.add_argument("--reference", type=float, default=1e-6)
    parser.add_argument("--margin", type=float, default=1e6)
    parser.add_argument("--cpu", type=float, default=600.0, help="CPU seconds for one run")
    asked = parser.parse_args()
    rtols = asked.rtol or [1e-3, 1e-4]
    runs = [(asked.only, rtol) for rtol in rtols] if asked.only else [("rodas", asked.reference), ("rodas", rtols[0])]
    runs += [] if asked.only else [("late", rtol) for rtol in rtols]
    print("load", *(f"{x:.1f}" for x in os.getloadavg()), "on", os.cpu_count(), "CPUs")
    print(
        "| n,T,d | flow | seed | method | rtol | ended | lead | steps | CPU s | direction | log t | tokens off | said |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for text in asked.size or [",".join(map(str, size)) for size in SIZES]:
        n, T, d = map(int, text.split(","))
        for word in asked.word or ["kq", "w"]:
            for seed in asked.seed or [0]:
                first = None
                for method, rtol in runs:
                    got = row((n, T, d), word, seed, method, rtol, asked.margin, asked.cpu)
                    first = first or got
                    both = first.ended == got.ended == "margin" and first is not got
                    beside = (
                        f"{np.linalg.norm(got.W - first.W):.1e} | {got.log_time - first.log_time:.2g} | "
                        f"{sum(a != b for a, b in zip(got.tokens, first.tokens, strict=True))}"
                        if both
                        else "- | - | -"
                    )
                    print(
                        f"| {text} | {word} | {seed} | {method} | {rtol:g} | {got.ended} | {got.lead:.3g} | "
                        f"{got.steps} | {got.cpu:.1f} | {beside} | {got.said} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

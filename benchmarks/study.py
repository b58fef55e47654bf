"""What a study costs around its runs: CPU of 1,000 seeds, overhead of ledger and files, scaling of two workers.

    python benchmarks/study.py [SEEDS] [--save FILE.json]

The overhead is CPU seconds of the whole coordinator less those of the batches, in one process. The scaling is
wall time and means something only on two free cores; the load average is printed beside it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from history import save
from marginflow.study.coordinator import run_study
from marginflow.study.engines.engine import AbstractEngine
from marginflow.study.engines.processes import Processes
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome
from marginflow.study.plan.plan import Plan, check_plan
from marginflow.study.results.folder import Folder


PLAN = """
name = "benchmark"
seeds = {seeds}
batch = 50
[flow]
until_margin = 1e6
margins = [1e2, 1e4, 1e6]
[[problem]]
family = "sphere"
n = 6
T = 8
d = 10
seed = "run"
[[model]]
parameterization = "kq"
"""


def run(plan: Plan, engine: AbstractEngine) -> tuple[float, float, float, str]:
    """(wall, CPU of this process, CPU of the batches, shares)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        wall, cpu = time.monotonic(), time.process_time()
        summary = run_study(plan, folder, engine)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        assert summary.complete
        ledger = folder.read_ledger(plan, print)
        found = outcome(plan, ledger)
        ledger.close()
        assert not found.failures, found.failures[:3]
        shares = ", ".join(f"{word} {share.count}" for word, share in found.cells[0].shares.items())
        return wall, cpu, found.cpu_seconds, shares


def main(seeds: int, file: str = "") -> None:
    plan = check_plan(PLAN.format(seeds=seeds))
    _, cpu, batches, shares = run(plan, Serial())
    print(f"{seeds} runs of (6,8,10) (K,Q) to margin 1e6, each with its nuclear SVM: {shares}")
    print(f"batches {batches:.1f} CPU s, {1e3 * batches / seeds:.0f} ms per run; whole study {cpu:.1f} CPU s")
    print(f"overhead of ledger, files and imports {100 * (cpu / batches - 1):.2f} %")
    if file:
        rows = [
            {"name": f"{seeds} runs: {what}", "cpu": spent, "shares": shares}
            for what, spent in (("batches", batches), ("whole study", cpu))
        ]
        save(file, "study", rows)
        return
    one, two = (run(plan, Processes(workers))[0] for workers in (1, 2))
    load = os.getloadavg()[0]
    print(f"wall: one worker {one:.1f} s, two {two:.1f} s, ratio {one / two:.2f} at load average {load:.1f}")


if __name__ == "__main__":
    words = sys.argv[1:]
    to = words.pop(words.index("--save") + 1) if "--save" in words else ""
    counts = [word for word in words if word != "--save"]
    main(int(counts[0]) if counts else 1000, to)

"""Stand-ins for the flow behind the same seam: quick, exact, and able to misbehave. Importable by workers."""

import hashlib
import os
import time
from pathlib import Path

from marginflow.study.plan.cell import Unit
from marginflow.study.results.record import MarkRow, RunRow, SvmRow, to_arrays
from marginflow.study.work import Finished


def row(unit: Unit, seed: int) -> RunRow:
    """A run whose every number comes from a hash: equal everywhere, different for every seed and cell."""
    digest = hashlib.sha256(f"{unit.cell.key} {seed}".encode()).digest()
    x = [byte / 256 for byte in digest]
    status = ("minimal_loss", "trapped", "undecided")[digest[0] % 3]
    return RunRow(
        seed=seed,
        status=status,
        reason=f"by hash {digest[0]}",
        ended="margin",
        margin=1e4 * (1 + x[1]),
        log_time=x[2],
        log_excess=-x[3],
        ratio=1 + x[4],
        nuclear=x[5],
        frobenius=x[6],
        evaluations=digest[7],
        steps=digest[8],
        conserved_drift=x[9],
        wrong=digest[10] % 3,
        constraints=12,
        d=4,
        d_z=4,
        svms=(SvmRow("nuclear", "optimal", 1 + x[11], 1 + x[12], x[13], x[14], 1 + x[15], digest[16] % 3, x[17]),),
        marks=tuple(MarkRow("nuclear", m, m * (1 + x[16]), x[17], 1 + x[18] / m, x[19]) for m in (1e2, 1e4)),
    )


def quick(unit: Unit) -> Finished:
    """A batch in no time."""
    rows = [row(unit, seed) for seed in unit.seeds]
    return Finished(unit, to_arrays(unit, rows), 0.001, f"{os.getpid()}", "fake")


def slow(unit: Unit) -> Finished:
    """A batch in a tenth of a second."""
    time.sleep(0.1)
    return quick(unit)


def deadly(unit: Unit) -> Finished:
    """A batch that takes its process with it when it holds seed 13 of the first scale."""
    if 13 in unit.seeds and unit.cell.scale == 0.1 and unit.cell.parameterization == "w":
        os._exit(9)
    time.sleep(0.02)
    return quick(unit)


def deadly_once(unit: Unit) -> Finished:
    """As `deadly`, but only while the file named by the environment is missing."""
    mark = Path(os.environ["DEADLY_MARK"])
    if 13 in unit.seeds and not mark.exists():
        mark.touch()
        os._exit(9)
    return quick(unit)


def foreign(unit: Unit) -> Finished:
    """What a worker with other code does."""
    from dataclasses import replace

    from marginflow.study.work import run_unit

    return run_unit(replace(unit, version="0.0.0+elsewhere"))

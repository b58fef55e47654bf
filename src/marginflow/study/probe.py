"""What a study will cost, from a timed probe: a few seeds of a few cells, drawn from the grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from marginflow.study.plan.cell import Cell, Unit
from marginflow.study.plan.plan import Plan
from marginflow.study.results.record import RunRow, from_arrays
from marginflow.study.work import Work, run_unit


CELLS: Final = 6
SEEDS: Final = 4


@dataclass(frozen=True)
class Sample:
    """One timed batch: `runs` runs of `cell` took `cpu_seconds`; `failure` is why all of them failed, else ""."""

    cell: Cell
    runs: int
    cpu_seconds: float
    failure: str = ""

    @property
    def per_run(self) -> float:
        """CPU seconds of one run."""
        return self.cpu_seconds / self.runs


@dataclass(frozen=True)
class Estimate:
    """CPU seconds of a whole study.

    Attributes:
        samples: what was timed; the first cell, whose batch also loads the libraries, was run once before.
        cpu_seconds: the mean of the samples times the number of runs.
        least, most: the same with the cheapest and the dearest sample: the spread between cells, not a bound.
    """

    samples: tuple[Sample, ...]
    cpu_seconds: float
    least: float
    most: float


def probe(plan: Plan, *, work: Work = run_unit, progress: Callable[[int], None] | None = None) -> Estimate:
    """Time up to SEEDS seeds of up to CELLS cells in this process.

    Full batches are cheaper per run than the probe's, so the estimate is rather too high than too low.
    """
    count = min(CELLS, len(plan.cells))
    # A fixed draw: evenly spaced cells would fall into step with the lists of the grid.
    chosen = Random(0).sample(plan.cells, count)
    seeds = min(SEEDS, plan.seeds, plan.batch)
    work(Unit(chosen[0], plan.first, 1))
    samples = []
    for cell in chosen:
        done = work(Unit(cell, plan.first, seeds))
        samples.append(Sample(cell, seeds, done.cpu_seconds, _failure(from_arrays(done.arrays))))
        if progress is not None:
            progress(len(samples))
    costs = [sample.per_run for sample in samples]
    mean = sum(costs) / len(costs)
    return Estimate(tuple(samples), mean * plan.runs, min(costs) * plan.runs, max(costs) * plan.runs)


def _failure(rows: Sequence[RunRow]) -> str:
    """Why the first of `rows` failed, where all of them did."""
    return rows[0].reason if all(row.status == "failed" for row in rows) else ""

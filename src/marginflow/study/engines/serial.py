"""The engine of one process."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marginflow.study.engines.engine import AbstractEngine, Lost
from marginflow.study.plan.cell import Unit


if TYPE_CHECKING:
    from marginflow.study.work import Finished, Work


@dataclass(frozen=True)
class Serial(AbstractEngine):
    """One batch after the other in this process."""

    word: str = field(default="serial", init=False)
    workers: int = field(default=1, init=False)

    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        for unit in units:
            yield work(unit)

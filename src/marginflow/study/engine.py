"""The seam between a study and the machines it runs on: an engine turns units into results, in any order."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from marginflow.errors import InputError
from marginflow.study.cell import Unit


if TYPE_CHECKING:
    from marginflow.study.work import Finished, Work


DEATHS: Final = 3
"""How often the worker of a batch may die before the batch is given up."""


@dataclass(frozen=True)
class Lost:
    """A batch that no worker lived through.

    Attributes:
        unit: which.
        reason: what is known.
    """

    unit: Unit
    reason: str


class AbstractEngine(ABC):
    """Runs a plain function over units. An engine writes nothing and decides nothing about results."""

    @property
    @abstractmethod
    def word(self) -> str:
        """What the command line calls it."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many batches run at a time; 0 where that is not for us to say."""

    @abstractmethod
    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        """Yield the end of every unit as it comes. Closing the iterator abandons what is running.

        Raises:
            InputError: the workers cannot run `work` at all, or are gone for good.
        """


@dataclass(frozen=True)
class Serial(AbstractEngine):
    """One batch after the other in this process."""

    word: str = field(default="serial", init=False)
    workers: int = field(default=1, init=False)

    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        for unit in units:
            yield work(unit)


ENGINES: Final = ("serial", "processes", "dask")


def make_engine(word: str, *, workers: int | None = None, scheduler: str | None = None) -> AbstractEngine:
    """The engine called `word`.

    Args:
        word: serial, processes or dask.
        workers: how many, for processes and for a Dask cluster of our own; the cores we may use when None.
        scheduler: the address of a running Dask scheduler, for dask only.

    Raises:
        InputError: an unknown word, options that do not go together, or Dask is not installed.
    """
    if word not in ENGINES:
        raise InputError(f"--engine: got {word!r}; expected one of {', '.join(ENGINES)}")
    if scheduler is not None and word != "dask":
        raise InputError(f"--scheduler: got {scheduler!r} with --engine {word}; only dask has a scheduler")
    if workers is not None and (word == "serial" or scheduler is not None):
        other = "--scheduler, which has its own" if scheduler is not None else "--engine serial"
        raise InputError(f"--workers: got {workers} with {other}; leave one of them out")
    if workers is not None and not 1 <= workers <= 1024:
        raise InputError(f"--workers: got {workers}; expected 1..1024")
    if word == "serial":
        return Serial()
    count = workers if workers is not None else _cores()
    if word == "processes":
        from marginflow.study.processes import Processes

        return Processes(count)
    from marginflow.study.cluster import Cluster

    return Cluster(0 if scheduler is not None else count, scheduler)


def _cores() -> int:
    """The cores that this process may use, which a batch system may have made fewer than there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

"""From a word to an engine."""

import os
import sys
from typing import Final

from marginflow.errors import InputError
from marginflow.study.engines.engine import AbstractEngine
from marginflow.study.engines.serial import Serial


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
        from marginflow.study.engines.processes import Processes

        return Processes(count)
    from marginflow.study.engines.dask_cluster import Cluster

    return Cluster(0 if scheduler is not None else count, scheduler)


def _cores() -> int:
    """The cores that this process may use, which a batch system may have made fewer than there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

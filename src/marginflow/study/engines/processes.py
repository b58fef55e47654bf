"""The engine `processes`: a pool of the standard library that survives the death of its workers."""

import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from marginflow.study.engines import interrupts
from marginflow.study.engines.engine import DEATHS, AbstractEngine, Lost
from marginflow.study.plan.cell import Unit


if TYPE_CHECKING:
    from marginflow.study.work import Finished, Work


@dataclass(frozen=True)
class Processes(AbstractEngine):
    """`count` processes on this machine, started afresh (spawn), one BLAS thread each."""

    count: int
    word: str = field(default="processes", init=False)

    @property
    def workers(self) -> int:
        return self.count

    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        waiting, suspects, deaths = deque(units), deque[Unit](), Counter[str]()
        while waiting or suspects:
            with _Pool(self.workers) as pool:
                running: dict[Future[Finished], Unit] = {}
                try:
                    while waiting or suspects or running:
                        # When a worker dies the pool cannot say whose batch it ran: each batch that was in
                        # flight then runs alone once, so that a second death convicts the right one.
                        source, most = (suspects, 1) if suspects else (waiting, self.workers)
                        while source and len(running) < most:
                            running[pool.submit(work, source[0])] = source[0]
                            source.popleft()
                        done = wait(running, return_when=FIRST_COMPLETED).done
                        # Results first: what is done must not be run again because its neighbour died.
                        for future in sorted(done, key=lambda f: f.exception() is not None):
                            result = future.result()
                            del running[future]
                            yield result
                except BrokenProcessPool:
                    alone = len(running) == 1
                    for unit in running.values():
                        deaths[unit.key] += alone
                        if deaths[unit.key] < DEATHS:
                            suspects.append(unit)
                        else:
                            yield Lost(unit, f"its worker died {DEATHS} times (killed, or out of memory?)")


class _Pool:
    """A pool whose workers die with this process, or as soon as it is left; never by a signal from us."""

    def __init__(self, workers: int) -> None:
        context = get_context("spawn")
        # Only we hold the writing end: when we close it, or are killed, every worker reads the end of file.
        self._reader, self._writer = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(workers, context, _live_with, (self._reader,))

    def submit(self, work: "Work", unit: Unit) -> "Future[Finished]":
        # The pool starts a worker here when it needs one; the worker inherits both settings.
        with _one_thread_for_children(), interrupts.held():
            return self._executor.submit(work, unit)

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._writer.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._writer.close()
        self._reader.close()


def _live_with(life: Connection) -> None:
    """In a worker: end when the coordinator lets go of `life`, in whatever way."""
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()


def _end_with(life: Connection) -> None:
    try:
        life.recv_bytes()
    except (EOFError, OSError):
        pass
    os._exit(0)


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """BLAS libraries read these when they load, before the batch itself asks for one thread (`blas.py`)."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

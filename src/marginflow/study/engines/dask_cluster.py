"""The engine `dask`: a Dask cluster of our own on this machine, or any running scheduler by its address."""

import logging
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from marginflow.errors import InputError
from marginflow.study.engines import interrupts
from marginflow.study.engines.engine import DEATHS, AbstractEngine, Lost
from marginflow.study.plan.cell import Unit


if TYPE_CHECKING:
    from distributed import Client

    from marginflow.study.work import Finished, Work


PATIENCE: Final = 15.0
"""Seconds that a scheduler has to answer at all."""


@dataclass(frozen=True)
class Cluster(AbstractEngine):
    """Dask distributed: `count` processes here when `scheduler` is None, else whatever the scheduler has.

    Results travel back to the coordinator, so that no disk needs to be shared. Workers may come and go; a
    batch whose worker vanished runs elsewhere.
    """

    count: int
    scheduler: str | None = None
    word: str = field(default="dask", init=False)

    @property
    def workers(self) -> int:
        return self.count

    def __post_init__(self) -> None:
        try:
            import distributed
        except ImportError:
            raise InputError(
                "--engine dask: Dask is missing; pip install 'marginflow[dask]', here and on the workers"
            ) from None
        del distributed

    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        from distributed import as_completed

        waiting = iter(units)
        with self._client() as client:
            sent: dict[str, Unit] = {}
            completed = as_completed()

            def refill() -> None:
                # Enough for every core to find its next batch waiting, and no more: the rest stays here.
                room = max(2, 2 * sum(client.nthreads().values())) - len(sent)
                for unit in islice(waiting, max(room, 0)):
                    sent[unit.key] = unit
                    completed.add(client.submit(work, unit, key=unit.key, retries=0))

            with self._answering():
                refill()
            for future in completed:
                with self._answering():
                    end = self._end(future, sent.pop(future.key))
                    future.release()
                yield end
                with self._answering():
                    refill()

    def _end(self, future: Any, unit: Unit) -> "Finished | Lost":
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            result: Finished = future.result()
            return result
        if future.status != "error":
            raise self._gone(future.status)
        error = future.exception()
        if isinstance(error, KilledWorker):
            return Lost(unit, f"its worker died {DEATHS} times (killed, or out of memory?)")
        if isinstance(error, InputError):
            raise error
        raise InputError(
            f"--engine dask: the workers cannot run a batch ({type(error).__name__}: {error}); "
            f"install the same marginflow there as here ({unit.version})"
        )

    def _gone(self, sign: object) -> InputError:
        return InputError(
            f"--engine dask: the scheduler {self.scheduler or 'here'} is gone ({sign}); run the "
            "study again when one is there: every finished batch is kept"
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """The scheduler may go while it is being asked: its broken connection is the same news as a lost future."""
        try:
            yield
        except (OSError, CancelledError) as error:
            raise self._gone(type(error).__name__) from None

    @contextmanager
    def _client(self) -> Iterator["Client"]:
        import dask
        from distributed import Client, LocalCluster

        with ExitStack() as stack:
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS - 1}))
            # Dask starts workers, also later ones, from threads that are made here.
            with interrupts.held():
                target: Any = self.scheduler
                if target is None:
                    target = stack.enter_context(
                        LocalCluster(
                            n_workers=self.count,
                            threads_per_worker=1,
                            processes=True,
                            host="127.0.0.1",
                            dashboard_address=None,
                            silence_logs=logging.CRITICAL,
                        )
                    )
                try:
                    client = Client(target, timeout=PATIENCE)
                except (OSError, ValueError, TimeoutError) as error:
                    raise InputError(
                        f"--scheduler: no Dask scheduler answers at {self.scheduler!r} ({error}); "
                        "expected an address such as tcp://127.0.0.1:8786"
                    ) from None
            yield stack.enter_context(client)

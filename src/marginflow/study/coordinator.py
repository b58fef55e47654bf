"""The coordinator of a study: hands batches to an engine and is the only one that writes what comes back."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from marginflow.errors import InputError
from marginflow.study.engines.engine import AbstractEngine, Lost
from marginflow.study.plan.cell import Unit
from marginflow.study.plan.plan import Plan
from marginflow.study.results.folder import Folder, Say
from marginflow.study.results.ledger import Batch, DamagedLedger, Ledger
from marginflow.study.results.record import RunRow, from_arrays
from marginflow.study.work import Finished, Work, run_unit


Progress = Callable[[int, int], None]
"""Called with (batches done, batches in all) after each."""


@dataclass(frozen=True)
class Summary:
    """How a call of `run_study` ended.

    Attributes:
        batches: in the plan.
        found: done before this call.
        done: done by this call.
        lost: given up, with the reason; they run again at the next call.
        failed: runs, of all that are done, that raised an error.
        interrupted: Ctrl-C came; what was running was abandoned.
    """

    batches: int
    found: int
    done: int
    lost: tuple[tuple[Unit, str], ...]
    failed: int
    interrupted: bool

    @property
    def complete(self) -> bool:
        """Whether every batch has its results."""
        return self.found + self.done == self.batches


def run_study(
    plan: Plan,
    folder: Folder,
    engine: AbstractEngine,
    *,
    work: Work = run_unit,
    say: Say = lambda sentence: None,
    progress: Progress | None = None,
) -> Summary:
    """Run what is missing of `plan` in `folder`; all that is there already is kept.

    Args:
        plan: a checked plan.
        folder: made when missing; another plan may have left results there.
        engine: runs the batches.
        work: what runs one batch; another one only in tests.
        say: called with what the user should know (damage found and mended).
        progress: called after every batch.

    Returns:
        What was done. Ctrl-C is an answer too: see `Summary.interrupted`.

    Raises:
        InputError: the folder cannot be written or is taken, the disk is full, or the engine cannot work.
            Every batch finished before is kept.
    """
    with folder.locked(plan, say):
        try:
            with closing(folder.open_ledger(plan, say)) as ledger:
                return _run(plan, folder, ledger, engine, work, progress)
        except DamagedLedger as damage:
            raise InputError(
                f"{folder.ledger_file}: was damaged while the study ran ({damage}); run the study again: the "
                "ledger is then made from the batch files"
            ) from None


def _run(
    plan: Plan,
    folder: Folder,
    ledger: Ledger,
    engine: AbstractEngine,
    work: Work,
    progress: Progress | None,
) -> Summary:
    known = ledger.batches()
    missing = [u for u in plan.units if u.key not in known or known[u.key].state != "done"]
    found = len(plan.units) - len(missing)
    done, lost, interrupted = 0, list[tuple[Unit, str]](), False
    try:
        # An engine with nothing to do would still start its workers.
        with closing(engine.run(work, missing) if missing else _nothing()) as ends:
            for end in ends:
                if isinstance(end, Lost):
                    lost.append((end.unit, end.reason))
                    _record_lost(ledger, end)
                else:
                    _record(folder, ledger, engine, end)
                    done += 1
                if progress is not None:
                    progress(found + done, len(plan.units))
    except KeyboardInterrupt:
        interrupted = True
    counts = ledger.select("SELECT batch, count(*) AS n FROM runs WHERE status = 'failed' GROUP BY batch")
    # The folder may hold the batches of an older plan too.
    keys = {unit.key for unit in plan.units}
    failed = sum(row["n"] for row in counts if row["batch"] in keys)
    return Summary(len(plan.units), found, done, tuple(lost), failed, interrupted)


def _nothing() -> Generator[Finished | Lost, None, None]:
    yield from ()


def _record(folder: Folder, ledger: Ledger, engine: AbstractEngine, end: Finished) -> None:
    """The file first, the ledger second: a ledger row without its file would claim what is not there."""
    try:
        digest = folder.keep(end.unit, end.arrays)
    except InputError as error:
        raise InputError(f"{error}, then run the study again: every finished batch is kept") from None
    batch = Batch(
        end.unit.key,
        "done",
        digest=digest,
        cpu_seconds=end.cpu_seconds,
        engine=engine.word,
        worker=end.worker,
        versions=end.versions,
    )
    ledger.record(end.unit, batch, from_arrays(end.arrays))


def _record_lost(ledger: Ledger, end: Lost) -> None:
    rows = [RunRow(seed, "failed", end.reason) for seed in end.unit.seeds]
    ledger.record(end.unit, Batch(end.unit.key, "lost", end.reason), rows)

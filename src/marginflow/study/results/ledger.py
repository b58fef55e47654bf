"""The ledger of a study: one SQLite file with a row per batch, run, SVM and mark, written by one process.

The batch files are the results; the ledger is their index and holds what they leave out so that equal results
have equal files: CPU seconds, where a batch ran, versions. A ledger that is lost or damaged is made again
from the files (`folder.py`); only those costs are then unknown.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from marginflow.errors import InputError
from marginflow.study.plan.cell import Unit
from marginflow.study.results.record import MarkRow, RunRow, SvmRow, scalars


_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")

_SQL_TYPES: Final = {str: "TEXT", int: "INTEGER", float: "REAL"}

_TABLES: Final = {"runs": RunRow, "svms": SvmRow, "marks": MarkRow}


class DamagedLedger(Exception):
    """The file is no ledger, or SQLite finds it corrupt. Never shown: the study rebuilds it."""


@dataclass(frozen=True)
class Batch:
    """One row of the table of batches.

    Attributes:
        key: of the unit.
        state: "done", or "lost" when its worker died again and again.
        reason: why it is lost.
        digest: SHA-256 of the batch file; "" when lost.
        cpu_seconds, engine, worker, versions: what it cost and where it ran; None and "" when not known.
    """

    key: str
    state: str
    reason: str = ""
    digest: str = ""
    cpu_seconds: float | None = None
    engine: str = ""
    worker: str = ""
    versions: str = ""


class Ledger:
    """An open ledger. Final; made by `Ledger.open`, `Ledger.read` or `Ledger.in_memory`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Open for writing; made when it is missing.

        Raises:
            DamagedLedger: see there.
            InputError: the folder or the file cannot be written.
        """
        ledger = cls(_connect(path, f"file:{_quoted(path)}?mode=rwc"), str(path))
        with closed_if_stopped(ledger), ledger._speaking():
            ledger._connection.execute("PRAGMA journal_mode=WAL")
            # A commit is then safe from a killed process; a power cut may take the last ones, which the batch
            # files, themselves synced, give back.
            ledger._connection.execute("PRAGMA synchronous=NORMAL")
            ledger._check(fresh=True)
        return ledger

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Open without writing, also while a study is running.

        Raises:
            DamagedLedger: see there; also no such file, or one that cannot be read (a write-ahead log in a
                folder that cannot be written).
        """
        if not path.is_file():
            raise DamagedLedger("no such file")
        # Nothing is written either way, but a connection that might write tidies the log files up at its end.
        mode = "rw" if os.access(path.parent, os.W_OK) else "ro"
        try:
            ledger = cls(_connect(path, f"file:{_quoted(path)}?mode={mode}"), str(path))
            with closed_if_stopped(ledger), ledger._speaking():
                ledger._connection.execute("PRAGMA query_only=ON")
                ledger._check(fresh=False)
        except InputError as error:
            raise DamagedLedger(str(error)) from None
        return ledger

    @classmethod
    def in_memory(cls) -> "Ledger":
        """An empty ledger that no file holds, to be filled from batch files."""
        ledger = cls(sqlite3.connect(":memory:", isolation_level=None), "(memory)")
        with closed_if_stopped(ledger):
            ledger._check(fresh=True)
        return ledger

    def close(self) -> None:
        """Close the file; SQLite then folds the write-ahead log into it."""
        self._connection.close()

    def record(self, unit: Unit, batch: Batch, rows: Sequence[RunRow]) -> None:
        """Put a batch and its runs in, in one transaction; what was there under its key is replaced.

        Raises:
            InputError: the disk is full or the file cannot be written.
        """
        cell = unit.cell
        about = {
            "batch": unit.key,
            "cell": cell.key,
            "problem": "",
            "parameterization": cell.parameterization,
            "width": cell.width,
            "scale": cell.scale,
            "optimizer": cell.steps.optimizer if cell.steps else "",
            "rate": cell.steps.rate if cell.steps else "",
            "decay": cell.steps.decay if cell.steps else "",
            "samples": cell.steps.samples if cell.steps else 0,
        }
        runs = [about | {"problem": cell.source(r.seed)} | _values(r) for r in rows]
        svms = [{"batch": unit.key, "seed": r.seed} | _values(s) for r in rows for s in r.svms]
        marks = [{"batch": unit.key, "seed": r.seed} | _values(m) for r in rows for m in r.marks]
        entry = vars(batch) | {"cell": cell.key, "first": unit.first, "seeds": unit.count}
        with self._speaking(), self._transaction():
            self._delete(unit.key)
            for table, values in (("batches", [entry]), ("runs", runs), ("svms", svms), ("marks", marks)):
                self._insert(table, values)

    def forget(self, key: str) -> None:
        """Take a batch and its runs out.

        Raises:
            InputError: the file cannot be written.
        """
        with self._speaking(), self._transaction():
            self._delete(key)

    def batches(self) -> dict[str, Batch]:
        """Every batch known, by key."""
        names = list(Batch.__dataclass_fields__)
        with self._speaking():
            found = self._connection.execute(f"SELECT {', '.join(names)} FROM batches").fetchall()
        return {row[0]: Batch(*row) for row in found}

    def select(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a query, by column name."""
        with self._speaking():
            cursor = self._connection.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _delete(self, key: str) -> None:
        for table, column in {"batches": "key", "runs": "batch", "svms": "batch", "marks": "batch"}.items():
            self._connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))

    def _insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            names = ", ".join(rows[0])
            marks = ", ".join(f":{name}" for name in rows[0])
            self._connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)

    def _check(self, *, fresh: bool) -> None:
        """Refuse a corrupt file and one of another format; lay out the tables of a new one."""
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found[0] != "ok":
            raise DamagedLedger(str(found[0]))
        if fresh and version == 0 and tables == 0:
            with self._transaction():
                for statement in _layout():
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_version()}")
            return
        if version != _version():
            raise DamagedLedger("it has the tables of another version of marginflow")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what SQLite raises into one of our words."""
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self._path) from None


@contextmanager
def closed_if_stopped(ledger: Ledger) -> Iterator[None]:
    """Close `ledger` where what makes it ready fails or is interrupted."""
    try:
        yield
    except BaseException:
        ledger.close()
        raise


def _translated(error: sqlite3.Error, path: str) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_DAMAGE) or "no such" in str(error):
        return DamagedLedger(str(error))
    return InputError(
        f"{path}: the ledger cannot be read or written ({error}); check the disk and the folder's rights, "
        "then run the study again: every finished batch is kept"
    )


def _connect(path: Path, uri: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)
    except sqlite3.Error as error:
        raise _translated(error, str(path)) from None


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.resolve()))


def _values(row: RunRow | SvmRow | MarkRow) -> dict[str, Any]:
    """The scalars of a row; SQLite stores nan as NULL."""
    return {name: getattr(row, name) for name in scalars(type(row))}


def _layout() -> Iterator[str]:
    batch = ", ".join(
        f"{name} {kind}"
        for name, kind in {
            "key": "TEXT PRIMARY KEY",
            "cell": "TEXT",
            "first": "INTEGER",
            "seeds": "INTEGER",
            "state": "TEXT",
            "reason": "TEXT",
            "digest": "TEXT",
            "cpu_seconds": "REAL",
            "engine": "TEXT",
            "worker": "TEXT",
            "versions": "TEXT",
        }.items()
    )
    yield f"CREATE TABLE batches ({batch})"
    before = {
        "runs": "batch TEXT, cell TEXT, problem TEXT, parameterization TEXT, width INTEGER, scale REAL, "
        "optimizer TEXT, rate TEXT, decay TEXT, samples INTEGER, ",
        "svms": "batch TEXT, seed INTEGER, ",
        "marks": "batch TEXT, seed INTEGER, ",
    }
    for table, row in _TABLES.items():
        columns = ", ".join(f"{name} {_SQL_TYPES[kind]}" for name, kind in scalars(row).items())
        yield f"CREATE TABLE {table} ({before[table]}{columns})"
        yield f"CREATE INDEX {table}_by_batch ON {table} (batch, seed)"


def _version() -> int:
    """`PRAGMA user_version` of our files: a checksum of their layout, so that it cannot be forgotten."""
    return zlib.crc32("\n".join(_layout()).encode()) & 0x7FFFFFFF

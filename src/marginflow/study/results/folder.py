"""The folder of a study: its plan, its batch files, its ledger, and the lock of the one who writes there."""

import errno
import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TextIO

from marginflow.code_version import version
from marginflow.errors import InputError
from marginflow.problem.files import write_problem
from marginflow.study.plan.cell import Unit
from marginflow.study.plan.plan import Plan, read_plan
from marginflow.study.results.ledger import Batch, DamagedLedger, Ledger, closed_if_stopped
from marginflow.study.results.record import RunRow, read_batch, write_batch


Say = Callable[[str], None]
"""Called with one sentence that the user should see."""


@dataclass(frozen=True)
class Folder:
    """Where a study lives.

    Attributes:
        path: the folder; holds plan.toml, code, ledger.sqlite, lock, batches/<key>.npz and, of a plan that runs on
            files of the user's, their copies in data/.
    """

    path: Path

    @property
    def plan_file(self) -> Path:
        """The plan that the folder was last run with."""
        return self.path / "plan.toml"

    @property
    def ledger_file(self) -> Path:
        """The ledger."""
        return self.path / "ledger.sqlite"

    @property
    def code_file(self) -> Path:
        """The version of the code that the folder was last run with."""
        return self.path / "code"

    def batch_file(self, unit: Unit) -> Path:
        """The results of a unit."""
        return self.path / "batches" / f"{unit.key}.npz"

    def plan(self) -> Plan:
        """The plan kept in the folder, with the version of the code that ran it.

        Raises:
            InputError: the folder holds no study.
        """
        if not self.plan_file.is_file():
            raise InputError(f"{self.path}: holds no study (no plan.toml); expected a plan or the folder of a study")
        plan = read_plan(self.plan_file, kept=self.path / "data")
        try:
            return replace(plan, version=self.code_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            return plan

    @contextmanager
    def locked(self, plan: Plan, say: Say = lambda sentence: None) -> Iterator[None]:
        """Make the folder, keep every other coordinator out, and put the plan there.

        The lock is the operating system's and goes with the process, however it ends. On a file system without
        locks `say` hears of it, and only a coordinator that the lock file names and that runs here is kept out.

        Raises:
            InputError: the folder cannot be written, or another coordinator is at work in it.
        """
        try:
            (self.path / "batches").mkdir(parents=True, exist_ok=True)
            file = open(self.path / "lock", "a+")
        except OSError as error:
            raise _unwritable(self.path, error) from None
        with file:
            self._take(file, say)
            try:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                file.flush()
                self._sweep()
                self._keep(plan)
            except OSError as error:
                raise _unwritable(self.path, error) from None
            try:
                yield
            finally:
                file.truncate(0)

    def _take(self, file: TextIO, say: Say) -> None:
        """Take the lock, or know that there is none to take."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            file.seek(0)
            holder = file.read(200).strip()
            if error.errno in _NO_LOCKS and not _runs_here(holder):
                say(
                    f"{self.path}: this file system has no locks ({error.strerror}); going on without: "
                    "start no second coordinator on this folder"
                )
                return
            if error.errno not in _NO_LOCKS | _HELD:
                raise _unwritable(self.path, error) from None
        raise InputError(
            f"{self.path}: another coordinator is at work here ({holder or 'unknown'}); wait until it ends, "
            "stop it, or choose another --out"
        )

    def open_ledger(self, plan: Plan, say: Say) -> Ledger:
        """The ledger, open for writing and in agreement with the batch files of `plan`.

        A damaged ledger is set aside and made again from the files. A batch file that the ledger does not
        know (the process was killed between the two) is put in; one that is damaged is said so, and counts
        as not done.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            ledger = Ledger.open(self.ledger_file)
        except DamagedLedger as damage:
            say(f"{self.ledger_file}: damaged ({damage}); it is made again from the batch files")
            self._set_aside()
            ledger = Ledger.open(self.ledger_file)
        with closed_if_stopped(ledger):
            self._reconcile(ledger, plan, say)
        return ledger

    def read_ledger(self, plan: Plan, say: Say) -> Ledger:
        """The ledger for reading; where it is missing or damaged, one in memory made from the batch files."""
        try:
            return Ledger.read(self.ledger_file)
        except DamagedLedger as damage:
            say(f"{self.ledger_file}: {damage}; reading the batch files instead")
        ledger = Ledger.in_memory()
        with closed_if_stopped(ledger):
            self._reconcile(ledger, plan, say)
        return ledger

    def keep(self, unit: Unit, arrays: Mapping[str, Any]) -> str:
        """Write a batch file; returns the SHA-256 of its bytes.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        path = self.batch_file(unit)
        write_batch(path, arrays)
        return _digest(path)

    def _reconcile(self, ledger: Ledger, plan: Plan, say: Say) -> None:
        known = ledger.batches()
        others = len({p.stem for p in (self.path / "batches").glob("*.npz")} - {u.key for u in plan.units})
        if others:
            say(f"{self.path}: {others} batches are of another plan or other code; they are left as they are")
        for unit in plan.units:
            path, batch = self.batch_file(unit), known.get(unit.key)
            if not path.is_file():
                if batch is not None and batch.state == "done":
                    say(f"{path}: is missing; batch {unit.cell.label}, seeds {_span(unit)} will run again")
                    ledger.forget(unit.key)
                continue
            digest = _digest(path)
            if batch is not None and batch.state == "done" and batch.digest == digest:
                continue
            rows = self._readable(unit, say)
            if rows is None:
                ledger.forget(unit.key)
            else:
                ledger.record(unit, Batch(unit.key, "done", digest=digest), rows)

    def _readable(self, unit: Unit, say: Say) -> list[RunRow] | None:
        try:
            arrays, rows = read_batch(self.batch_file(unit))
            if str(arrays["cell"]) == unit.cell.identity and [r.seed for r in rows] == list(unit.seeds):
                return rows
            say(f"{self.batch_file(unit)}: holds another cell or other seeds; the batch will run again")
        except InputError as error:
            say(f"{error}; the batch {unit.cell.label}, seeds {_span(unit)} will run again")
        return None

    def _sweep(self) -> None:
        """Remove the drafts that a killed coordinator left; while we hold the lock they are nobody's."""
        for draft in [*self.path.glob(".*.part"), *(self.path / "batches").glob(".*.part")]:
            draft.unlink()

    def _keep(self, plan: Plan) -> None:
        for own in plan.files:
            copy = self.path / "data" / own.kept_as
            if copy.resolve() != own.path:
                copy.parent.mkdir(parents=True, exist_ok=True)
                write_problem(copy, own.problem())
        for file, text in ((self.plan_file, plan.text), (self.code_file, plan.version + "\n")):
            draft = self.path / f".{file.name}.part"
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, file)

    def _set_aside(self) -> None:
        """Rename the damaged ledger; its write-ahead log belongs to it and must not meet the new one."""
        number = 1
        while (aside := self.path / f"ledger.damaged-{number}.sqlite").exists():
            number += 1
        try:
            for end in ("", "-wal", "-shm"):
                part = Path(f"{self.ledger_file}{end}")
                if part.exists():
                    os.replace(part, f"{aside}{end}")
        except OSError as error:
            raise _unwritable(self.path, error) from None


_HELD: Final = frozenset((errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES))
"""What flock says of a lock that another process holds."""

_NO_LOCKS: Final = frozenset((errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP))
"""What it says on file systems that have none, as clusters often mount theirs."""


def _runs_here(holder: str) -> bool:
    """Whether the process that a lock file names is another one, alive on this machine."""
    found = re.fullmatch(r"process (\d+) on (.+)", holder)
    if found is None or found[2] != socket.gethostname() or int(found[1]) == os.getpid():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def find_folder(study: Path, out: Path | None = None) -> tuple[Folder, Plan]:
    """The folder of a study and the plan to run there, from a plan or from the folder itself.

    Args:
        study: a plan (.toml), whose folder is `out`, or out/study-NAME beside it; or the folder of a study.
        out: the folder, where it is not the usual one.

    Raises:
        InputError: neither a plan nor the folder of a study.
    """
    if study.is_dir():
        folder = Folder(study)
        return folder, replace(folder.plan(), version=version())
    plan = read_plan(study)
    return Folder(out if out is not None else study.parent / "out" / f"study-{plan.name}"), plan


def _span(unit: Unit) -> str:
    return f"{unit.first}-{unit.first + unit.count - 1}"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check its rights") from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: cannot be written ({error.strerror or error}); choose another --out, or free space "
        "and run the study again: every finished batch is kept"
    )

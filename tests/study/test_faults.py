"""What can go wrong while a study runs: nothing finished is lost, a word is said, resuming completes it."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import fake_work
import pytest
from plans import FAKE, batch_bytes, plan
from processes_of_tests import SCRIPT, start

from marginflow.errors import InputError
from marginflow.frames import to_csv
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.export import table
from marginflow.study.results.folder import Folder


def run(path: Path, work=fake_work.quick, text: str = FAKE, **options):
    return run_study(plan(text), Folder(path), Serial(), work=work, **options)


def results(path: Path) -> tuple[dict[str, bytes], str]:
    """The batch files, and the table that the ledger gives."""
    ledger = Folder(path).read_ledger(plan(), lambda sentence: None)
    try:
        return batch_bytes(path), to_csv(*table(plan(), ledger))
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of an undisturbed study; copied, never changed."""
    path = tmp_path_factory.mktemp("whole")
    assert run(path).complete
    return path


@pytest.fixture(scope="module")
def expected(whole):
    return results(whole)


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def killed_and_resumed(path: Path, after: int, delay: float, engine: str, expected) -> int:
    """Kill -9 some time after so many batches were done, resume, compare; how many batches there were."""
    child = start(path, engine, 2 if engine == "processes" else 0, "quick")
    while after > 0 and (line := child.stdout.readline()) != f"done {after}\n":
        assert line, child.stderr.read()
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    found = len(list((path / "batches").glob("*.npz"))) if path.exists() else 0
    summary = run(path)
    assert summary.complete and summary.found == found
    assert results(path) == expected
    return found


def kill_at_random_points(tmp_path, expected, engine: str, times: int):
    draw = random.Random(8)
    # Spread over the run, at a random batch of each part and a random moment within and after that batch.
    points = [(int(47 * (k + draw.random()) / times), 0.02 * draw.random()) for k in range(times)]
    found = [
        killed_and_resumed(tmp_path / f"killed-{k}", after, delay, engine, expected)
        for k, (after, delay) in enumerate(points)
    ]
    assert any(0 < n < 48 for n in found), f"no kill came in the middle: {found}"


@pytest.mark.parametrize("engine, times", [("serial", 7), ("processes", 3)])
def test_kill_9_of_the_coordinator_at_random_points(tmp_path, expected, engine, times):
    kill_at_random_points(tmp_path, expected, engine, times)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_kill_9_of_the_coordinator_at_20_random_points(tmp_path, expected, engine):
    kill_at_random_points(tmp_path, expected, engine, 20)


def test_killed_between_file_and_ledger(tmp_path, expected, monkeypatch):
    from marginflow.study.results.ledger import Ledger

    class Killed(BaseException):
        pass

    honest, calls = Ledger.record, []

    def record(self, *args):
        calls.append(args)
        if len(calls) == 5:
            raise Killed
        return honest(self, *args)

    monkeypatch.setattr(Ledger, "record", record)
    with pytest.raises(Killed):
        run(tmp_path)
    monkeypatch.undo()
    ran = []
    summary = run(tmp_path, lambda unit: ran.append(unit) or fake_work.quick(unit))
    assert summary.found == 5 and len(ran) == 43, "the batch whose file was there ran again"
    assert results(tmp_path) == expected


def test_drafts_of_a_killed_writer_are_swept(copy, expected):
    drafts = [copy / ".plan.toml.part", copy / "batches" / f".{'0' * 32}.npz.77.part"]
    for draft in drafts:
        draft.write_bytes(b"half")
    assert run(copy).complete and not any(draft.exists() for draft in drafts)
    assert results(copy) == expected


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "text": lambda data: b"not an archive",
    "a byte flipped": lambda data: data[:700] + bytes([data[700] ^ 0xFF]) + data[701:],
    "many bytes flipped": lambda data: data[:300] + bytes(b ^ 0x55 for b in data[300:900]) + data[900:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_batch_runs_again(copy, expected, kind):
    file = sorted((copy / "batches").iterdir())[3]
    file.write_bytes(DAMAGE[kind](file.read_bytes()))
    said = []
    summary = run(copy, say=said.append)
    assert (summary.found, summary.done) == (47, 1)
    assert any(str(file) in line and "will run again" in line for line in said), said
    assert results(copy) == expected


def test_a_missing_batch_and_one_under_a_wrong_name_run_again(copy, expected):
    files = sorted((copy / "batches").iterdir())
    files[0].unlink()
    shutil.copy(files[2], files[1])
    said = []
    summary = run(copy, say=said.append)
    assert (summary.found, summary.done) == (46, 2) and len(said) == 2
    assert results(copy) == expected


LEDGERS = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_bytes(b"this is no database, whatever its name says" * 50),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:5000]),
    "pages overwritten": lambda file: file.write_bytes(
        file.read_bytes()[:4096] + b"\xa5" * 8192 + file.read_bytes()[12288:]
    ),
    "of another program": lambda file: other_database(file),
    "of an older layout": lambda file: change(file, "PRAGMA user_version = 1"),
    "rows deleted": lambda file: change(file, "DELETE FROM batches WHERE rowid % 2"),
    "digests changed": lambda file: change(file, "UPDATE batches SET digest = 'x', state = 'lost'"),
}


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()


def other_database(file: Path) -> None:
    file.unlink()
    change(file, "CREATE TABLE runs (name TEXT)")


@pytest.mark.parametrize("kind", LEDGERS)
def test_a_damaged_ledger_is_made_again_from_the_files(copy, expected, kind):
    LEDGERS[kind](copy / "ledger.sqlite")
    said = []
    summary = run(copy, work=None, say=said.append)
    assert summary.complete and summary.found == 48
    assert results(copy) == expected
    if kind in ("text", "cut", "pages overwritten", "of another program", "of an older layout"):
        assert any("made again from the batch files" in line for line in said)
        assert (copy / "ledger.damaged-1.sqlite").exists()


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "pages overwritten", "of another program"])
def test_reading_does_without_a_damaged_ledger_and_leaves_it(copy, expected, kind):
    file = copy / "ledger.sqlite"
    LEDGERS[kind](file)
    before = file.read_bytes() if file.exists() else None
    assert results(copy) == expected
    assert (file.read_bytes() if file.exists() else None) == before


def test_a_second_coordinator_is_kept_out(tmp_path, expected):
    child = start(tmp_path / "study", "serial", 0, "slow")
    assert child.stdout.readline() == "done 1\n"
    with pytest.raises(InputError, match=f"another coordinator is at work here .process {child.pid} on "):
        run(tmp_path / "study")
    child.kill()
    child.communicate()
    # The lock goes with its holder: nothing is to be removed by hand.
    assert run(tmp_path / "study").complete
    assert results(tmp_path / "study") == expected


def test_a_clock_that_jumps_changes_nothing(tmp_path, expected, monkeypatch):
    draw = random.Random(3)
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, lambda: draw.choice([0, 1, 2**31, 2**33]))
    assert run(tmp_path).complete
    monkeypatch.undo()
    assert results(tmp_path) == expected


def test_a_failed_seed_is_a_row_with_its_reason(tmp_path, monkeypatch):
    from marginflow.study import work

    honest = work.integrate_many

    def sometimes(problems, model, *, seeds, **options):
        if 5 in seeds:
            raise FloatingPointError("seed 5\nis cursed")
        return honest(problems, model, seeds=seeds, **options)

    monkeypatch.setattr(work, "integrate_many", sometimes)
    text = (
        'name = "a"\nseeds = 8\nbatch = 4\n[flow]\nuntil_margin = 10\n'
        '[[problem]]\nfamily = "angle"\nc = 0.5\n[[model]]\nparameterization = "w"\n'
    )
    summary = run_study(plan(text), Folder(tmp_path), Serial())
    assert summary.complete and summary.failed == 1
    ledger = Folder(tmp_path).read_ledger(plan(text), print)
    rows = ledger.select("SELECT seed, status, reason FROM runs ORDER BY seed")
    ledger.close()
    assert [row["seed"] for row in rows] == list(range(8))
    assert {row["seed"] for row in rows if row["status"] == "failed"} == {5}
    assert rows[5]["reason"] == "FloatingPointError: seed 5 is cursed"


def in_namespace(script: str, *words: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems of its own and sees $PY, $SCRIPT and its words."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.fail("a full disk was not tried: this system does not let us mount a small one (unshare -rm)")
    environment = os.environ | {"PY": sys.executable, "SCRIPT": str(SCRIPT)}
    command = ["unshare", "-rm", "bash", "-ec", script, "test", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_a_full_disk_loses_nothing_and_the_study_goes_on_when_there_is_room(tmp_path, expected):
    from marginflow.code_version import version

    (tmp_path / "plan.toml").write_text(FAKE)
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").mkdir()
    done = in_namespace(
        """
        mount -t tmpfs -o size=400k none "$1/disk"
        run() { $PY "$SCRIPT" "$1/plan.toml" "$1/disk/study" serial 0 quick "$2" || echo "code $?"; }
        run "$1" "$2"
        ls "$1/disk/study/batches" | grep -c 'npz$'
        mount -o remount,size=40m "$1/disk"
        run "$1" "$2"
        cp -r "$1/disk/study" "$1/out/study"
        """,
        tmp_path,
        version(),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    first = lines.index("code 2")
    assert 1 <= int(lines[first + 1]) < 48 and "code" not in "".join(lines[first + 2 :]), done.stdout
    # The batch files and the ledger are both on that disk: whichever meets its end first says so.
    said = done.stderr.lower()
    assert "every finished batch is kept" in said and ("no space" in said or "full" in said or "disk i/o" in said)
    assert results(tmp_path / "out" / "study") == expected


def test_a_read_only_folder_says_so_and_can_still_be_read(tmp_path, whole, expected):
    from marginflow.code_version import version

    (tmp_path / "plan.toml").write_text(FAKE)
    (tmp_path / "disk").mkdir()
    reader = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import test_faults; from pathlib import Path\n"
        "print(json.dumps(test_faults.results(Path(sys.argv[2]))[1]))"
    )
    done = in_namespace(
        """
        mount -t tmpfs none "$1/disk"
        cp -r "$2" "$1/disk/study"
        mount -o remount,ro "$1/disk"
        $PY "$SCRIPT" "$1/plan.toml" "$1/disk/study" serial 0 quick "$3" || echo "code $?"
        $PY -c "$4" "$(dirname "$SCRIPT")" "$1/disk/study"
        """,
        tmp_path,
        whole,
        version(),
        reader,
    )
    assert done.returncode == 0, done.stderr
    assert "code 2" in done.stdout and "cannot be written (Read-only file system)" in done.stderr, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected[1]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        run(tmp_path / "file" / "study")

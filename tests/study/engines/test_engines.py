"""Three engines, one result: the same plan gives the same bytes; workers may die, or be foreign."""

import json
import os
import signal
import subprocess
import sys

import fake_work
import psutil
import pytest
from plans import REAL, batch_bytes, plan
from processes_of_tests import SCRIPT, finish, start, wait_for

from marginflow.errors import InputError
from marginflow.study.coordinator import run_study
from marginflow.study.engines.choose import make_engine
from marginflow.study.engines.processes import Processes
from marginflow.study.engines.serial import Serial
from marginflow.study.results.folder import Folder


def workers_of(child: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that run batches, oldest first."""
    try:
        family = psutil.Process(child.pid).children(recursive=True)
        found = [p for p in family if "spawn_main" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return []
    return sorted(found, key=lambda p: p.create_time())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    """The batches of the fake study, run in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    summary = run_study(plan(), Folder(folder), Serial(), work=fake_work.quick)
    assert summary.complete and summary.done == 48
    return batch_bytes(folder)


def test_32_real_runs_on_each_engine_are_identical(tmp_path):
    text = REAL.replace("seeds = 8", "seeds = 4").replace("batch = 4", "batch = 2")
    runs, expected = plan(text), None
    assert runs.runs == 32
    for name, workers in (("serial", None), ("processes", 2), ("dask", 2)):
        engine = make_engine(name, workers=workers)
        if name == "dask":
            # In a process of its own: Dask leaves threads behind.
            child = start(tmp_path / name, "dask", 2, "real", text)
            code, _, err = finish(child)
            assert code == 0, err
        else:
            summary = run_study(runs, Folder(tmp_path / name), engine)
            assert summary.complete and summary.failed == 0
        found = batch_bytes(tmp_path / name)
        assert len(found) == 16
        expected = expected or found
        assert found == expected, f"{name} gives other bytes"


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_of_any_number_give_the_same_bytes(tmp_path, undisturbed, workers):
    summary = run_study(plan(), Folder(tmp_path), Processes(workers), work=fake_work.quick)
    assert summary.complete and batch_bytes(tmp_path) == undisturbed


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_a_killed_worker_costs_nothing_but_its_batch(tmp_path, undisturbed, engine):
    child = start(tmp_path / "study", engine, 2, "slow")
    batches = tmp_path / "study" / "batches"
    wait_for(lambda: len(list(batches.glob("*.npz"))) >= 4, "batches")
    workers_of(child)[-1].kill()
    code, out, err = finish(child)
    assert code == 0, out + err
    assert batch_bytes(tmp_path / "study") == undisturbed


def test_a_batch_that_kills_its_workers_is_lost_and_its_neighbours_are_not(tmp_path, undisturbed):
    folder = Folder(tmp_path)
    summary = run_study(plan(), folder, Processes(2), work=fake_work.deadly)
    assert not summary.complete and len(summary.lost) == 2 and summary.done == 46
    assert {(u.first, u.cell.label) for u, _ in summary.lost} == {
        (12, f"sphere n=4,T=4,d={d},seed=run | w scale=0.1") for d in (3, 4)
    }
    assert all("died 3 times" in reason for _, reason in summary.lost) and summary.failed == 8
    found = batch_bytes(tmp_path)
    assert len(found) == 46 and found.items() < undisturbed.items()
    again = run_study(plan(), folder, Serial(), work=fake_work.quick)
    assert (again.found, again.done, again.failed) == (46, 2, 0) and batch_bytes(tmp_path) == undisturbed


def test_a_death_convicts_nobody_who_was_only_near(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLY_MARK", str(tmp_path / "mark"))
    summary = run_study(plan(), Folder(tmp_path / "study"), Processes(2), work=fake_work.deadly_once)
    assert summary.complete and not summary.lost


def test_other_code_on_a_worker_is_refused(tmp_path):
    for engine in (Serial(), Processes(1)):
        with pytest.raises(InputError, match="install the same version everywhere"):
            run_study(plan(), Folder(tmp_path / engine.word), engine, work=fake_work.foreign)


def test_workers_end_with_a_killed_coordinator(tmp_path):
    child = start(tmp_path / "study", "processes", 2, "slow")
    found = wait_for(lambda: w if len(w := workers_of(child)) == 2 else None, "workers")
    child.kill()
    child.communicate()
    _, alive = psutil.wait_procs(found, timeout=20)
    assert not alive


@pytest.mark.parametrize("engine", ["serial", "processes", "dask"])
def test_interrupt_is_an_answer_and_the_rest_can_be_resumed(tmp_path, undisturbed, engine):
    child = start(tmp_path / "study", engine, 2 if engine != "serial" else 0, "slow")
    batches = tmp_path / "study" / "batches"
    wait_for(lambda: len(list(batches.glob("*.npz"))) >= 3, "batches")
    family = psutil.Process(child.pid).children(recursive=True)
    os.killpg(child.pid, signal.SIGINT)
    code, out, err = finish(child)
    assert code == 130 and "interrupted True" in out, out + err
    assert "Traceback" not in err, err
    assert not psutil.wait_procs(family, timeout=20)[1]
    found = batch_bytes(tmp_path / "study")
    assert 3 <= len(found) < 48 and found.items() < undisturbed.items()
    summary = run_study(plan(), Folder(tmp_path / "study"), Serial(), work=fake_work.quick)
    assert summary.complete and summary.found == len(found)
    assert batch_bytes(tmp_path / "study") == undisturbed


def dask_part(name: str, *options: str) -> subprocess.Popen[bytes]:
    """A scheduler or a worker as a user of a cluster would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{name}", "--no-dashboard", *options],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_scheduler_by_address_and_its_end(tmp_path, undisturbed):
    file = tmp_path / "scheduler.json"
    common = ("--scheduler-file", str(file))
    parts = [dask_part("scheduler", "--host", "127.0.0.1", "--port", "0", *common)]
    try:
        address = wait_for(lambda: file.is_file() and json.loads(file.read_text())["address"], "scheduler")
        parts.append(dask_part("worker", "--no-nanny", "--nthreads", "2", *common))
        child = start(tmp_path / "study", f"dask@{address}", 0, "slow")
        batches = tmp_path / "study" / "batches"
        wait_for(lambda: len(list(batches.glob("*.npz"))) >= 4, "batches")
        parts[0].kill()
        code, out, err = finish(child)
        assert code == 2 and "the scheduler" in err and "every finished batch is kept" in err, out + err
    finally:
        for part in parts:
            part.kill()
            part.wait()
    found = batch_bytes(tmp_path / "study")
    assert 4 <= len(found) < 48 and found.items() < undisturbed.items()
    summary = run_study(plan(), Folder(tmp_path / "study"), Serial(), work=fake_work.quick)
    assert summary.complete and batch_bytes(tmp_path / "study") == undisturbed


def test_a_scheduler_that_goes_while_it_is_asked(monkeypatch):
    """The race behind the test above, made certain: the connection breaks inside a question."""
    from distributed import Client
    from distributed.comm import CommClosedError

    def broken(*_args, **_words):
        raise CommClosedError("reset by peer")

    engine = make_engine("dask", workers=1)
    ends = engine.run(fake_work.quick, plan().units)
    next(ends)
    monkeypatch.setattr(Client, "nthreads", broken)
    with pytest.raises(InputError, match=r"the scheduler here is gone .*every finished batch is kept"):
        list(ends)


def test_no_scheduler_at_the_address(monkeypatch):
    from marginflow.study.engines import dask_cluster as cluster

    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    engine = make_engine("dask", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no Dask scheduler answers at"):
        next(engine.run(fake_work.quick, plan().units[:1]))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"word": "slurm"}, "--engine: got 'slurm'; expected one of serial, processes, dask"),
        ({"word": "processes", "scheduler": "tcp://x"}, "only dask has a scheduler"),
        ({"word": "serial", "workers": 2}, "--workers: got 2 with --engine serial"),
        ({"word": "dask", "workers": 2, "scheduler": "tcp://x"}, "--scheduler, which has its own"),
        ({"word": "processes", "workers": 0}, "--workers: got 0; expected 1..1024"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(InputError, match=message):
        make_engine(options.pop("word"), **options)


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'marginflow\[dask\]'"):
        make_engine("dask")

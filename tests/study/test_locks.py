"""The lock of a study's folder: only a lock that is held means another coordinator."""

import errno
import fcntl
import os
import socket
import subprocess
import sys

import fake_work
import pytest
from plans import plan

from marginflow.errors import InputError
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.results.folder import Folder


def run(path, said):
    return run_study(plan(), Folder(path), Serial(), work=fake_work.quick, say=said.append)


@pytest.fixture
def flock(monkeypatch):
    """Makes flock fail with a code, as the file systems of clusters do."""

    def fail_with(code):
        def fail(*_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(fcntl, "flock", fail)

    return fail_with


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_study_says_so_and_runs(tmp_path, flock, code):
    flock(code)
    said = []
    assert run(tmp_path, said).complete
    assert len(said) == 1 and "has no locks" in said[0] and os.strerror(code) in said[0]
    assert "second coordinator" in said[0] and "another coordinator" not in said[0]


@pytest.mark.parametrize("code", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_held_lock_is_another_coordinator(tmp_path, flock, code):
    (tmp_path / "lock").write_text("process 12 on elsewhere\n")
    flock(code)
    with pytest.raises(InputError, match=r"another coordinator is at work here \(process 12 on elsewhere\)"):
        run(tmp_path, [])


def test_other_errors_are_what_they_are(tmp_path, flock):
    flock(errno.EIO)
    with pytest.raises(InputError, match="Input/output error"):
        run(tmp_path, [])


def test_without_locks_a_coordinator_that_runs_here_still_keeps_others_out(tmp_path, flock):
    flock(errno.ENOLCK)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / "lock").write_text(f"process {other.pid} on {socket.gethostname()}\n")
        with pytest.raises(InputError, match=f"process {other.pid} on"):
            run(tmp_path, [])
        other.communicate(b"\n")
    assert run(tmp_path, []).complete
    assert (tmp_path / "lock").read_text() == ""

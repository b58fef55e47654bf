"""Starting, watching and ending the coordinators that the tests kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from plans import FAKE

from marginflow.code_version import version


SCRIPT = Path(__file__).with_name("coordinate.py")


def start(folder: Path, engine: str, workers: int, work: str, text: str = FAKE) -> subprocess.Popen[str]:
    """A coordinator in a process group of its own, at the point where the study begins."""
    file = folder.with_suffix(".toml")
    file.write_text(text)
    words = [sys.executable, SCRIPT, file, folder, engine, str(workers), work, version()]
    child = subprocess.Popen(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout.readline() == "go\n", child.stderr.read()
    return child


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = child.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    return child.returncode, out, err


def wait_for(condition, what: str, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {seconds:g} s")

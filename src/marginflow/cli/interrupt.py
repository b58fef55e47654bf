"""Ctrl-C ends a command within seconds, also while native code runs that Python cannot interrupt."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from marginflow.atomic_file import discard_drafts


GRACE: Final = 3.0
"""Seconds that HiGHS or LAPACK may go on after Ctrl-C before the process is ended under them."""


@contextmanager
def stops_within(seconds: float = GRACE) -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt; where native code keeps Python from it, the process ends with 130.

    Python sees a signal only between two of its own instructions. The signal itself is written to a pipe at once,
    and a thread that reads it waits for Python to answer: native code that takes long lets other threads run.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    answered = threading.Event()

    def answer(_signal: int, _frame: FrameType | None) -> None:
        answered.set()
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGINT, answer)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, answered, seconds), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, handler)
        os.close(writer)
        watch.join()
        os.close(reader)


def _watch(reader: int, answered: threading.Event, seconds: float) -> None:
    while said := os.read(reader, 1):
        if said[0] == signal.SIGINT and not answered.wait(seconds):
            discard_drafts()
            sys.stderr.write("marginflow: interrupted in the middle of a solver; nothing of what was running is kept\n")
            sys.stderr.flush()
            os._exit(130)
        answered.clear()

"""Ctrl-C reaches every process of the terminal; only the coordinator should answer it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C back: threads and processes started inside inherit that for good, this thread only until
    the end, when what came in between is delivered."""
    # Starting this helper of multiprocessing unblocks the signal again; have it run before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

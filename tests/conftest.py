"""Fixtures of every room: shared runs, and one Chromium for all browser tests of a process."""

import os
import signal

from chromium_of_tests import chromium  # noqa: F401
from saved_runs import digits, orbit, trained, trapped, undecided  # noqa: F401


# The background job of a shell ignores SIGINT, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

TORCH = os.environ.get("MARGINFLOW_BACKENDS") == "torch"
"""Whether tests/with_torch run: `make test-torch` says so, and a missing torch is then an error, not a skip."""

collect_ignore = [] if TORCH else ["with_torch"]

if not TORCH:
    import shapes

    shapes.install()


def pytest_report_header():
    return "tests/with_torch: " + ("included" if TORCH else "left out; `make test-torch` runs them")

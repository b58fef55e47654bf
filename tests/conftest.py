"""Fixtures of every room: shared runs, and one Chromium for all browser tests of a process."""

import os
import signal
from pathlib import Path

import pytest

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


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()


@pytest.fixture(scope="session")
def chromium():
    # A report that nobody has opened is not known to work: absence is a failure, not a reason to skip.
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing; `make test` installs it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()

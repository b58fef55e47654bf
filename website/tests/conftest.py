"""What `make site` has built, and one Chromium; a missing page or browser is a failure, not a reason to skip."""

import sys
from pathlib import Path

import pytest


HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

SITE = HERE.parents[1] / "out" / "site"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()


@pytest.fixture(scope="session")
def site() -> Path:
    assert (SITE / "index.html").exists(), "no pages; run `make site`"
    return SITE


@pytest.fixture(scope="session")
def chromium():
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing; `make test` installs it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()

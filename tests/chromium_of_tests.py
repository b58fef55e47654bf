"""The browser of all page tests, those of the site among them."""

from pathlib import Path

import pytest


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()


@pytest.fixture(scope="session")
def chromium():
    # A page that nobody has opened is not known to work: absence is a failure, not a reason to skip.
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing; `make test` installs it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()

"""What `make site` has built, and one Chromium; a missing page or browser is a failure, not a reason to skip."""

import sys
from pathlib import Path

import pytest


HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
# Last, so that no helper of the other tests hides one of the site's.
sys.path += [str(HERE.parents[1] / "tests"), str(HERE.parents[1] / "tools")]

from chromium_of_tests import chromium  # noqa: E402, F401


SITE = HERE.parents[1] / "out" / "site"


@pytest.fixture(scope="session")
def site() -> Path:
    assert (SITE / "index.html").exists(), "no pages; run `make site`"
    return SITE

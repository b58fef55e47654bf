"""What the papers' programs give: from their stored outputs, or from running their rules (benchmarks/gallery.py)."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final


FILE: Final = Path(__file__).parent / "data" / "peers.json"
"""{row: {quantity: number, list or sentence}}, written by `benchmarks/gallery.py --write`."""


def peer_numbers(row: str) -> dict[str, Any]:
    """The quantities of one row; a copy."""
    return dict(_all().get(row, {}))


@cache
def _all() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return found

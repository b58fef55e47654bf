"""Which code made a result: the library's version and a digest of the sources that a run can pass through."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from marginflow import __version__


_SHOWS_ONLY: Final = ("cli", "report", "pages", "figures", "study/page", "study/outcome", "study/engines")
"""Folders that only show or carry results: a change there leaves numbers as they were."""


@cache
def version() -> str:
    """ "0.1.0+1f2e3d4c5b6a": equal where results are comparable, also in a checkout that is being edited.

    A batch is named by it, so a study resumed after a change of the integrator runs anew instead of mixing
    the results of two; and a worker with other code is noticed. Every folder of the package counts unless it is
    listed as one that shows only, so that a new one cannot drop out silently.
    """
    return f"{__version__}+{_digest(sorted(_sources(files('marginflow'), '')))}"


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        inside = f"{path}{item.name}"
        if item.is_dir():
            if inside not in _SHOWS_ONLY:
                yield from _sources(item, f"{inside}/")
        elif inside.endswith(".py"):
            yield inside, item.read_bytes()


def _digest(sources: list[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, text in sources:
        total.update(f"{name}\0".encode() + text + b"\0")
    return total.hexdigest()[:12]

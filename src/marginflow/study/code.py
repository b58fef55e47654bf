"""Which code made a result: the library's version and a digest of the sources that a run passes through."""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from marginflow import __version__


_ROOMS: Final = ("problem", "svm", "flow", "diagnostics")
_FILES: Final = ("arrays.py", "blas.py", "norms.py", "rounding.py")
_OWN: Final = ("cell.py", "record.py", "work.py")


@cache
def version() -> str:
    """ "0.1.0+1f2e3d4c5b6a": equal where results are comparable, also in a checkout that is being edited.

    A batch is named by it, so a study resumed after a change of the integrator runs anew instead of mixing
    the results of two; and a worker with other code is noticed.
    """
    root = files("marginflow")
    sources = [(name, root / name) for name in _FILES]
    sources += [(f"study/{name}", root / "study" / name) for name in _OWN]
    for room in _ROOMS:
        sources += [(f"{room}/{item.name}", item) for item in (root / room).iterdir()]
    return f"{__version__}+{_digest(sources)}"


def _digest(sources: list[tuple[str, Traversable]]) -> str:
    total = hashlib.sha256()
    for name, source in sorted(sources, key=lambda pair: pair[0]):
        if name.endswith(".py"):
            total.update(f"{name}\0".encode() + source.read_bytes() + b"\0")
    return total.hexdigest()[:12]

"""The door: which rows there are, and making them."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Final

from marginflow.claims.one_by_one import run_each
from marginflow.errors import InputError
from marginflow.gallery.row import Row, RowResult


_FILES: Final = (
    "visualization",
    "local_converge",
    "svm_rank",
    "token_selection",
    "mirror",
    "next_token",
    "multi_token",
)
"""One line per file of rows; each has a tuple ROWS."""


def listing(names: Sequence[str] | None = None) -> tuple[Row, ...]:
    """The rows called `names`, or whose names begin so, in that order and each once; all of them when None.

    Raises:
        InputError: a name that no row begins with.
    """
    known = _known()
    if not names:
        return tuple(known.values())
    found: dict[str, Row] = {}
    for name in names:
        chosen = [name] if name in known else [other for other in known if name and other.startswith(name)]
        if not chosen:
            raise InputError(f"gallery: got {name!r}; expected some of {', '.join(known)}, or how they begin")
        found |= {other: known[other] for other in chosen}
    return tuple(found.values())


def run(
    names: Sequence[str] | None = None,
    *,
    progress: Callable[[str], None] | None = None,
    finished: Callable[[RowResult], None] | None = None,
) -> list[RowResult]:
    """Make rows one after another.

    Args:
        names: which; all when None.
        progress: called with a line before each row.
        finished: called with each result; Ctrl-C raises KeyboardInterrupt, and these are then all there are.

    Raises:
        InputError: an unknown name. A row that cannot be made is a result that does not hold.
    """
    return run_each(listing(names), progress, finished)


@cache
def _known() -> dict[str, Row]:
    files = [import_module(f"marginflow.gallery.{file}") for file in _FILES]
    return {row.name: row for file in files for row in file.ROWS}

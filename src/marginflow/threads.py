"""Long passes over arrays on all cores: parts that share nothing, several at a time, with the bits of one at a time."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

import numpy.typing as npt


Part = TypeVar("Part")
Found = TypeVar("Found")

WORTH: Final = 2**22
"""Numbers below which a pass takes some 10 ms, and threads gain nothing."""
BLOCK: Final = 2**18
"""Numbers of a part, which with what is made of it stay in the cache of a core."""

_inside: Final = ContextVar("_inside", default=False)


def each(function: Callable[[Part], Found], parts: Iterable[Part], numbers: int) -> list[Found]:
    """`function` of every part, in order; several at a time where they read more than WORTH `numbers` in all.

    One at a time, parts are asked for as they come. How the work is cut into parts must not depend on the machine: then
    results do not either. What NumPy was told to do about overflow holds in every thread. Passes within a part run in
    its thread.
    """
    cores = _cores()
    if numbers < WORTH or cores < 2 or _inside.get():
        return list(map(function, parts))
    parts = list(parts)
    # A context can be entered once at a time, and that of a new thread is empty.
    contexts = [copy_context() for _ in parts]
    for context in contexts:
        context.run(_inside.set, True)
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(lambda context, part: context.run(function, part), contexts, parts))


def over_rows(function: Callable[[slice], Found], rows: npt.NDArray[Any]) -> list[Found]:
    """`function` of consecutive rows, all of those of a matrix."""
    return each(function, row_blocks(rows), rows.size)


def row_blocks(rows: npt.NDArray[Any]) -> list[slice]:
    """All rows of a matrix, in consecutive parts of about BLOCK numbers."""
    size = max(1, BLOCK // max(1, rows.shape[1]))
    return [slice(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

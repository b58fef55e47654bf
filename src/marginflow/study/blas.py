"""One BLAS thread while batches run: small products gain nothing from more, and their bits depend on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from threadpoolctl import threadpool_info, threadpool_limits


_lock: Final = threading.Lock()
_users: int = 0
_limits: threadpool_limits | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold every BLAS of this process at one thread; the first to enter sets it, the last to leave restores.

    Several batches may run in threads of one Dask worker: the setting belongs to the process, so a plain
    context manager of the first to end would change the bits of the others.
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = threadpool_limits(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                _limits.restore_original_limits()
                _limits = None


def kernels() -> str:
    """Which BLAS kernels this process uses; results agree to the last bit only between equal ones."""
    found = {f"{x['internal_api']} {x['version']} {x.get('architecture', '')}" for x in threadpool_info()}
    return ", ".join(sorted(name.strip() for name in found))

"""One BLAS thread where products are small: more only spin, and the last bits depend on how many there are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from threadpoolctl import ThreadpoolController, threadpool_info


_lock: Final = threading.Lock()
_users: int = 0
_limits: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold every BLAS of this process at one thread; the first to enter sets it, the last to leave restores.

    The setting belongs to the process, so a plain context manager of the first of several threads to end would
    change the bits of the others. Measured on two busy cores: a flow on digits takes 2.5 s with one thread and
    52 s with two, which wait for each other in every small product.
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = _controller().limit(limits=1)
            _limits.__enter__()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limits.__exit__(None, None, None)
                _limits = None


@cache
def _controller() -> ThreadpoolController:
    """Looked up once: NumPy and SciPy each bring a BLAS, and both are loaded by now."""
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()


def kernels() -> str:
    """Which BLAS kernels this process uses; results agree to the last bit only between equal ones."""
    found = {f"{x['internal_api']} {x['version']} {x.get('architecture', '')}" for x in threadpool_info()}
    return ", ".join(sorted(name.strip() for name in found))

"""`python -m marginflow` and the command `marginflow`."""

import os
import signal
import sys
from types import FrameType


def start() -> int:
    """Run the command line; Ctrl-C while its modules are still being imported ends it at once."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    from marginflow.cli.main import main

    return main()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"marginflow: interrupted; nothing was begun\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(start())

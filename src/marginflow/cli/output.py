"""What every verb shares in its output: the --json object, aligned tables, numbers, progress and safe paths."""

import json as _json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from marginflow.errors import InputError


def plain(value: Any) -> Any:
    """`value` with NumPy types, NaN and infinities replaced by what JSON can hold (null for no number)."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(_json.dumps(plain(value), indent=2, allow_nan=False))


def number(value: float | None, digits: int = 6) -> str:
    """A number for people; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned with spaces: the first to the left, the others to the right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def output_path(path: Path, *inputs: str | Path) -> Path:
    """Check before any work that `path` can be written and is none of the `inputs`.

    Raises:
        InputError: a folder, a folder that does not exist, or a file that was given as input.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file to write")
    if not path.resolve().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; create it first")
    for given in inputs:
        if Path(given).exists() and path.exists() and path.samefile(given):
            raise InputError(f"{path}: would overwrite the input; choose another name")
    return path


def save_path(path: Path, *inputs: str | Path) -> Path:
    """`output_path` for arrays: a file that is called .npz, as whatever reads it expects.

    Raises:
        InputError: as `output_path`, or another suffix.
    """
    if path.suffix != ".npz":
        raise InputError(f"--save: got {path}; arrays are saved as .npz; write {path.with_suffix('.npz')}")
    return output_path(path, *inputs)


@contextmanager
def progress(label: str, unless_finished: str = "nothing is saved") -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a status text on stderr: in place on a terminal, else a line every 10 s.

    Nothing is shown for work that ends within a second.

    Raises:
        KeyboardInterrupt: after Ctrl-C, with what was being done and `unless_finished` as its text.
    """
    last = ""
    terminal = sys.stderr.isatty()
    start = time.monotonic()
    shown = start + (1.0 if terminal else 10.0) - (0.2 if terminal else 10.0)

    def show(text: str) -> None:
        nonlocal shown, last
        last = text
        now = time.monotonic()
        if now - shown < (0.2 if terminal else 10.0):
            return
        shown = now
        line = f"{label}: {text} ({now - start:.0f} s)"
        print(
            f"\r\x1b[2K{line[:110]}" if terminal else line,
            end="" if terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    try:
        yield show
    except KeyboardInterrupt as stop:
        if stop.args:
            raise
        raise KeyboardInterrupt(f"{label}{f', {last}' * bool(last)}: {unless_finished}") from None
    finally:
        if terminal and shown > start + 1:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

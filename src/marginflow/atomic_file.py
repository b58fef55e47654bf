"""Files that appear whole or not at all, whoever writes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marginflow.errors import InputError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a draft beside `path` to write to; it replaces `path` when the block ends, and goes if it fails.

    A reader sees the old file or the new one, never a half. A link keeps pointing where it points: the file
    behind it is the one that is replaced.

    Raises:
        InputError: the folder is missing or cannot be written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    _drafts.add(draft)
    try:
        yield draft
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists and is writable"
        ) from None
    finally:
        # A read-only file system complains of the draft too, whose name the user never gave.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        _drafts.discard(draft)


def discard_drafts() -> None:
    """Remove what is being written, for a process that has to end at once."""
    for draft in list(_drafts):
        draft.unlink(missing_ok=True)


_drafts: set[Path] = set()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a crash, where the system lets a folder be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)

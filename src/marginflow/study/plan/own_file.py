"""Own data in a plan: [[problem]] file = "mine.npz", found beside the plan, named by the digest of its numbers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from marginflow.errors import InputError
from marginflow.problem.files import read_problem
from marginflow.problem.fingerprint import fingerprint
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class OwnFile:
    """A problem in a file.

    Attributes:
        written: as the plan names it.
        path: where it is.
        digest: of its numbers; the same data under another name are the same cell of a study.
    """

    written: str
    path: Path
    digest: str

    @property
    def kept_as(self) -> str:
        """Where a study's folder keeps its copy, below `data/`."""
        return kept_as(self.written)

    def problem(self) -> Problem:
        """Read it again.

        Raises:
            InputError: it is gone, or its numbers are not those that the plan was checked with.
        """
        problem = read_problem(self.path)
        if fingerprint(problem) != self.digest:
            raise InputError(f"{self.path}: changed since the study began; put it back, or run the study again")
        return problem


def own_file(written: str, beside: Path, kept: Path | None) -> OwnFile:
    """The file that a plan calls `written`: beside the plan, or in `kept` where the plan is that of a study's folder.

    Raises:
        InputError: no such file, or not a problem.
    """
    path = (beside / written if kept is None else kept / kept_as(written)).resolve()
    if path.is_dir():
        raise InputError(f"{path}: got a folder; expected an .npz, of which a study keeps a copy")
    return OwnFile(written, path, fingerprint(read_problem(path)))


def kept_as(written: str) -> str:
    """The name of a copy: files of one name in two folders stay apart."""
    return f"{hashlib.sha256(written.encode()).hexdigest()[:12]}/{Path(written).name}"

"""The search cut into parts that any engine can run, and a file that keeps those that are finished."""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from marginflow.attractors.candidates import Candidates
from marginflow.attractors.search import Screened, screen
from marginflow.code_version import version
from marginflow.errors import InputError
from marginflow.npz import read_npz, require, write_npz
from marginflow.problem.fingerprint import fingerprint
from marginflow.problem.problem import Problem


class Engine(Protocol):
    """What runs parts: the engines of `study`, or another object with this method."""

    def run(self, work: Any, units: Any) -> Generator[Any, None, None]:
        """Yield work(unit) for every unit as it ends; for a unit that nothing could run an object with `reason`."""


@dataclass(frozen=True, eq=False)
class Part:
    """Part `place` of `of` of a search. Engines name it by `key` and tell workers by `version`."""

    problem: Problem
    diagonal: bool
    euclidean: bool
    limit: int
    place: int
    of: int
    version: str = field(default_factory=version)

    @cached_property
    def key(self) -> str:
        """Equal for equal parts: a digest of the data and of all that decides what is found."""
        said = f"{fingerprint(self.problem)}|{self.diagonal}|{self.euclidean}|{self.limit}|{self.place}|{self.of}"
        return hashlib.sha256(f"{said}|{self.version}".encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class FinishedPart:
    """A part and what it found."""

    unit: Part
    screened: Screened


def run_part(part: Part) -> FinishedPart:
    """Search one part.

    Raises:
        InputError: the part was cut by other code of marginflow than that running here.
    """
    if part.version != version():
        raise InputError(f"worker: has marginflow {version()}; expected {part.version}; install the same everywhere")
    candidates = Candidates.of(part.problem, part.diagonal)
    return FinishedPart(part, screen(candidates, part.euclidean, part.limit, subtree=(part.place, part.of)))


class Kept:
    """Finished parts in a file, by key; those of other searches stay in it. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there.

        Raises:
            InputError: a file that holds something else.
        """
        self.path = path
        self._found = {} if path is None or not path.exists() else _read(path)

    def find(self, part: Part) -> Screened | None:
        """What was found in `part`, if that is kept."""
        return self._found.get(part.key)

    def add(self, done: FinishedPart) -> None:
        """Keep a part; the file appears whole or not at all."""
        self._found[done.unit.key] = done.screened
        if self.path is not None:
            _write(self.path, self._found)


def _write(path: Path, found: dict[str, Screened]) -> None:
    every = list(found.values())
    write_npz(
        path,
        kind="attractor parts",
        format=1,
        key=np.array(list(found), dtype=str),
        complete=np.array([s.complete for s in every], dtype=bool),
        count=_whole([len(s.selections) for s in every]),
        samples=_whole([len(s.selections[0]) if s.selections else 0 for s in every]),
        tokens=_whole([t for s in every for selected in s.selections for t in selected.tolist()]),
        depths=_whole([len(s.visited) for s in every]),
        depth=_whole([k for s in every for k in s.visited]),
        visited=_whole([k for s in every for k in s.visited.values()]),
    )


def _read(path: Path) -> dict[str, Screened]:
    arrays = read_npz(path)
    require(
        path, arrays, "kind", "format", "key", "complete", "count", "samples", "tokens", "depths", "depth", "visited"
    )
    sizes = [arrays[name] for name in ("count", "samples", "depths")]
    total = sum(int(c) * int(n) for c, n in zip(*sizes[:2], strict=True)) if _alike(arrays["key"], *sizes) else -1
    fits = total == len(arrays["tokens"]) and len(arrays["depth"]) == len(arrays["visited"]) == int(sizes[2].sum())
    if str(arrays["kind"]) != "attractor parts" or int(arrays["format"]) != 1 or not fits:
        raise InputError(f"{path}: holds no parts of a search for attractors; give --keep another file")
    out, at, below = {}, 0, 0
    for key, complete, count, n, depths in zip(arrays["key"].tolist(), arrays["complete"], *sizes, strict=True):
        tokens = arrays["tokens"][at : at + count * n].reshape(count, n).astype(np.intp)
        levels = slice(below, below + depths)
        seen = dict(zip(arrays["depth"][levels].tolist(), arrays["visited"][levels].tolist(), strict=True))
        out[key] = Screened(list(tokens), seen, bool(complete))
        at, below = at + count * n, below + depths
    return out


def _alike(*arrays: Any) -> bool:
    return all(a.ndim == 1 and len(a) == len(arrays[0]) for a in arrays) and all(
        a.dtype.kind == "i" for a in arrays[1:]
    )


def _whole(numbers: Sequence[int]) -> Any:
    return np.array(numbers, dtype=np.int64)

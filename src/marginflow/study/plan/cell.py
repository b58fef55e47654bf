"""A cell of a study's grid, and the unit of work: a batch of its seeds, named by all that determines it."""

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from marginflow.code_version import version
from marginflow.study.plan.steps import Steps


if TYPE_CHECKING:
    from marginflow.model.parameterization import AbstractParameterization
    from marginflow.problem.problem import Problem
    from marginflow.study.plan.own_file import OwnFile


FILE: Final = "file"
"""The family of problems that are files of the user's."""

FORMAT: Final = 3
"""Version of the batch files; raised when what they hold, or how it is computed, changes its meaning."""


@dataclass(frozen=True)
class Settings:
    """How every run of a study is made.

    Attributes:
        until_margin, until, loss, rtol: as for `integrate`.
        margins: R and norm over margin are recorded at the first snapshot at or beyond each of these.
        norms: SVMs solved for each problem; "own" is the parameterisation's.
        tol: certified relative gap asked of the SVMs.
        iterations: of cells with an optimiser.
        at: what `margins` is to them: iterations.
    """

    until_margin: float
    until: str
    loss: str
    rtol: float
    margins: tuple[float, ...]
    norms: tuple[str, ...]
    tol: float
    iterations: int = 10_000
    at: tuple[int, ...] = (10_000,)


@dataclass(frozen=True)
class Cell:
    """One point of the grid: everything that determines a run but its seed.

    Attributes:
        family: a name of `problem.named.FAMILIES`, or FILE.
        parameters: the family's parameters, in its own order; without "seed" where `follows`. The digest of a file.
        follows: run s has the problem of seed s, not only the start of seed s.
        parameterization: kq, w, diag-kq or diag.
        width: of K and Q; None for the full width min(d, d_z), and where there is none.
        scale: standard deviation of the start.
        settings: common to the study.
        steps: the optimiser; None for the flow.
        measured: norms in place of those of the study; empty for these.
        file: the user's own data, of which only the digest, a parameter, tells cells apart.
    """

    family: str
    parameters: tuple[tuple[str, int | float], ...]
    follows: bool
    parameterization: str
    width: int | None
    scale: float
    settings: Settings
    steps: Steps | None = None
    measured: tuple[str, ...] = ()
    file: "OwnFile | None" = field(default=None, compare=False)

    def source(self, seed: int) -> str:
        """The name of the problem of run `seed`, as `problem.named.load` understands it; the file's in the plan."""
        if self.file is not None:
            return self.file.written
        given = [*self.parameters, *([("seed", seed)] if self.follows else [])]
        return self.family + (":" if ":" not in self.family else ",") * bool(given) + listed(given)

    def problem(self, seed: int) -> "Problem":
        """The problem of run `seed`.

        Raises:
            InputError: the parameters do not make a problem, or the file is not what it was.
        """
        if self.file is not None:
            return self.file.problem()
        from marginflow.problem.named import load

        return load(self.source(seed))

    def model(self, problem: "Problem") -> "AbstractParameterization":
        """The parameterisation of this cell on `problem`."""
        from marginflow.model.registry import parse_parameterization

        return parse_parameterization(self.parameterization, self.width).sized(problem.d, problem.d_z)

    @property
    def own_norm(self) -> str:
        """The norm that the parameterisation is expected to minimise."""
        from marginflow.model.registry import parse_parameterization

        return parse_parameterization(self.parameterization, self.width).flow_norm

    @property
    def norms(self) -> tuple[str, ...]:
        """The norms whose SVMs are solved, in the plan's order, none twice."""
        own = self.own_norm
        return tuple(dict.fromkeys(own if norm == "own" else norm for norm in self.measured or self.settings.norms))

    @property
    def targets(self) -> tuple[float, ...]:
        """Where R and norm over margin are recorded: margins, or iterations of an optimiser."""
        return self.settings.margins if self.steps is None else tuple(map(float, self.settings.at))

    @cached_property
    def identity(self) -> str:
        """Canonical JSON of all fields: equal for equal cells, on every machine."""
        fields = {name: value for name, value in asdict(replace(self, file=None)).items() if name != "file"}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @cached_property
    def key(self) -> str:
        """A short name of the cell: 16 hexadecimal digits of the hash of its identity."""
        return _digest(self.identity)[:16]

    @property
    def label(self) -> str:
        """The cell for people, on one line."""
        return f"{self.data_label} | {self.how_label} scale={self.scale:g}"

    @property
    def how_label(self) -> str:
        """Model and optimiser for people."""
        return f"{self.parameterization}{self.width_label}" + (f", {self.steps.label}" if self.steps else "")

    @property
    def data_label(self) -> str:
        """The problem of the cell for people."""
        if self.file is not None:
            return self.file.written
        given = [*self.parameters, *([("seed", "run")] if self.follows else [])]
        return f"{self.family} {listed(given)}".strip()

    @property
    def width_label(self) -> str:
        """ " width=3" for keys and queries, "" else."""
        if self.parameterization != "kq":
            return ""
        return f" width={'full' if self.width is None else self.width}"

    def command(self, seed: int) -> str:
        """The command that reruns one seed and shows it in full."""
        s = self.settings
        source = self.source(seed) if self.file is None else shlex.quote(str(self.file.path))
        if self.steps is not None:
            width = "" if self.width is None else f" --width {self.width}"
            start = f"{source} --parameterization {self.parameterization}{width} --seed {seed}"
            return f"marginflow descend {start} --scale {self.scale!r} {self.steps.words(s.iterations)} --loss {s.loss}"
        words = [f"marginflow flow {source} --parameterization {self.parameterization}"]
        if self.width is not None:
            words.append(f"--width {self.width}")
        words.append(f"--seed {seed} --scale {self.scale!r} --until-margin {s.until_margin!r}")
        words += [f"--{key} {value}" for key, value in (("until", s.until), ("loss", s.loss))]
        return " ".join([*words, f"--rtol {s.rtol!r}"])


@dataclass(frozen=True)
class Unit:
    """A batch of seeds first..first+count-1 of one cell: what an engine runs, and one file of results."""

    cell: Cell
    first: int
    count: int
    version: str = field(default_factory=version)

    @property
    def seeds(self) -> range:
        """The seeds of the batch."""
        return range(self.first, self.first + self.count)

    @cached_property
    def key(self) -> str:
        """The name of the batch: a hash of cell, seeds, format and the code of this library."""
        return _digest(f"{FORMAT}|{self.version}|{self.first}+{self.count}|{self.cell.identity}")[:32]


def listed(values: Any) -> str:
    """n=6,T=8: names and values as `problem.named.load` reads them, floats in full."""
    return ",".join(f"{key}={value}" for key, value in values)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

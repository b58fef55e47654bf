"""The plan of a study: a TOML file, checked as a whole before anything runs."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any, Final

from marginflow.code_version import version
from marginflow.errors import InputError, UndefinedError
from marginflow.losses import EXPONENTIAL, scalar_words
from marginflow.model.registry import PARAMETERIZATIONS, parse_parameterization
from marginflow.norms import parse_norm
from marginflow.problem.named import FAMILIES, parameters
from marginflow.problem.problem import Problem
from marginflow.study.plan.cell import FILE, Cell, Settings, Unit
from marginflow.study.plan.own_file import OwnFile, own_file
from marginflow.study.plan.schema import Section, is_number, is_whole, parse, whole_numbers
from marginflow.study.plan.steps import LARGEST_STEPS, STEP_KEYS, read_steps


LARGEST_RUNS: Final = 2_000_000
LARGEST_CELLS: Final = 10_000
LARGEST_BATCH: Final = 10_000
LARGEST_SEED: Final = 2**31 - 1
LARGEST_MARGIN: Final = 1e15


@dataclass(frozen=True)
class Plan:
    """A checked study.

    Attributes:
        name: names its folder.
        text: the TOML file as it was read.
        cells: the grid, in the plan's order.
        first, seeds: every cell is run for seeds first..first+seeds-1.
        batch: seeds of one unit of work.
        version: of the code that runs it, or that ran it.
    """

    name: str
    text: str
    cells: tuple[Cell, ...]
    first: int
    seeds: int
    batch: int
    version: str = field(default_factory=version)

    @property
    def runs(self) -> int:
        """How many runs the study has."""
        return len(self.cells) * self.seeds

    @property
    def files(self) -> tuple[OwnFile, ...]:
        """The user's own files that it runs on."""
        return tuple({cell.file.written: cell.file for cell in self.cells if cell.file is not None}.values())

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The batches, in the plan's order.

        Batches start at multiples of `batch`, so that a plan with more seeds finds the full ones done.
        """
        last = self.first + self.seeds
        cuts = [self.first, *range((self.first // self.batch + 1) * self.batch, last, self.batch), last]
        spans = [(a, b - a) for a, b in pairwise(cuts)]
        return tuple(Unit(cell, first, count, self.version) for cell in self.cells for first, count in spans)


def read_plan(path: Path, *, kept: Path | None = None) -> Plan:
    """Read and check a plan.

    Args:
        path: the plan; files that it names are found beside it.
        kept: the folder that holds copies of them instead, for the plan that a study's folder keeps.

    Raises:
        InputError: no such file, or not a plan; the message names the key, what was got and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason}); expected a plan (.toml)") from None
    return check_plan(text, str(path), beside=path.parent, kept=kept)


def check_plan(text: str, source: str = "plan", *, beside: Path = Path(), kept: Path | None = None) -> Plan:
    """Check the text of a plan; `source` names it in messages. See `read_plan`."""
    top = Section(source, "", parse(text, source))
    name = top.text(
        "name",
        None,
        lambda v: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", v) is not None,
        "1 to 64 letters, digits, dots, dashes; it names the folder of the results",
    )
    seeds = top.whole("seeds", None, 1, LARGEST_SEED)
    first = top.whole("first_seed", 0, 0, LARGEST_SEED - seeds)
    batch = top.whole("batch", 50, 1, LARGEST_BATCH)
    settings = _settings(top)
    problems = [_problem(section, beside, kept) for section in top.tables("problem")]
    models = [_model(section) for section in top.tables("model")]
    top.done()
    _refuse_too_many(top, seeds, [*problems, *models])
    cells = tuple(
        Cell(settings=settings, **data, **model)
        for choices in problems
        for data in choices.options()
        for others in models
        for model in others.options()
        if not choices.only or model["parameterization"] in choices.only
    )
    if not cells:
        raise InputError(f"{source}: problem.only: got parameterisations of no [[model]]; expected some of the plan's")
    _refuse_twice(source, cells)
    _refuse_impossible(source, cells, first)
    return Plan(name, text, cells, first, seeds, batch)


def _settings(top: Section) -> Settings:
    flow, svm, descend = top.table("flow"), top.table("svm"), top.table("descend")
    iterations = descend.whole("iterations", 10_000, 1, LARGEST_STEPS)
    until_margin = flow.number("until_margin", 1e6, 1.0, LARGEST_MARGIN)
    settings = Settings(
        until_margin=until_margin,
        until=flow.word("until", "margin", ("margin", "verdict")),
        loss=flow.word("loss", EXPONENTIAL.word, scalar_words()),
        rtol=flow.number("rtol", 1e-6, 1e-12, 1e-2),
        margins=tuple(
            sorted(
                float(margin)
                for margin in flow.several(
                    "margins",
                    (until_margin,),
                    lambda v: is_number(v, 1e-3, until_margin),
                    f"a number in 0.001..{until_margin:g} (until_margin)",
                )
            )
        ),
        norms=svm.several("norms", ("own",), _is_norm, _NORM_WORDS),
        tol=svm.number("tol", 1e-9, 1e-13, 1e-1),
        iterations=iterations,
        at=tuple(
            sorted(
                descend.several(
                    "at",
                    (iterations,),
                    lambda v: is_whole(v, 1, iterations),
                    whole_numbers(1, iterations) + " (iterations)",
                )
            )
        ),
    )
    flow.done()
    descend.done()
    svm.done()
    return settings


_NORMS: Final = ("own", "nuclear", "frobenius", "operator", "l1", "l2", "linf", "entry-l1", "entry-linf", "cut")


_NORM_WORDS: Final = f"{', '.join(_NORMS)}, lp:P or entry-lp:P with P > 1"


def _is_norm(value: Any) -> bool:
    if value == "own":
        return True
    try:
        return isinstance(value, str) and bool(parse_norm(value))
    except InputError:
        return False


@dataclass(frozen=True)
class _Choices:
    """What one table [[problem]] or [[model]] stands for: some fixed fields and lists to be crossed.

    A problem with `only` is crossed with models of these parameterisations alone.
    """

    section: Section
    fixed: dict[str, Any]
    lists: dict[str, tuple[Any, ...]]
    parameters: bool = False
    only: tuple[str, ...] = ()

    def __len__(self) -> int:
        return prod(len(values) for values in self.lists.values())

    def options(self) -> list[dict[str, Any]]:
        combined = [dict(zip(self.lists, values, strict=True)) for values in product(*self.lists.values())]
        if self.fixed.get("family") == FILE:
            return [self.fixed | option | {"parameters": (("sha256", option["file"].digest),)} for option in combined]
        if self.parameters:
            return [self.fixed | {"parameters": tuple(option.items())} for option in combined]
        return [self.fixed | option for option in combined]


def _problem(section: Section, beside: Path, kept: Path | None) -> _Choices:
    if not section.has("file"):
        if not section.has("family"):
            raise InputError(f'{section.where("family")}: is missing; expected a named problem, or file = "mine.npz"')
        return _family(section)
    if section.has("family"):
        raise section.error("file", section.values["file"], "either file or family")
    names = section.several("file", None, lambda v: isinstance(v, str) and v.endswith(".npz"), "a file.npz")
    section.done()
    files = [own_file(name, beside, kept) for name in names]
    return _Choices(section, {"family": FILE, "follows": False}, {"file": tuple(files)}, parameters=True)


def _family(section: Section) -> _Choices:
    family = section.word("family", None, tuple(FAMILIES))
    lists: dict[str, tuple[Any, ...]] = {}
    follows = False
    for key, (kind, _) in parameters(FAMILIES[family]).items():
        if key == "seed":
            follows = section.values.get("seed") == "run"
            section.asked.add("seed")
            if follows:
                continue
            if "seed" not in section.values:
                raise InputError(
                    f'{section.where("seed")}: is missing; expected "run" (run s has the problem of seed s), '
                    "or whole numbers (the same problems for all seeds)"
                )
        elif not section.has(key):
            continue
        if kind is int:
            good, expected = lambda v: is_whole(v, -LARGEST_SEED, LARGEST_SEED), "a whole number"
        else:
            good, expected = lambda v: is_number(v, -1e100, 1e100), "a finite number"
        lists[key] = tuple(kind(value) for value in section.several(key, None, good, expected))
    only = section.several("only", (), _is_model, "parameterisations of this plan") if section.has("only") else ()
    section.done()
    return _Choices(section, {"family": family, "follows": follows}, lists, parameters=True, only=only)


def _is_model(word: Any) -> bool:
    if not isinstance(word, str):
        return False
    if ":" in word:
        parse_parameterization(word)
        return True
    return word in PARAMETERIZATIONS


def _model(section: Section) -> _Choices:
    words = section.several("parameterization", None, _is_model, "one of " + ", ".join(PARAMETERIZATIONS))
    scale = section.several("scale", (0.1,), lambda v: is_number(v, 1e-100, 1e3), "a number in 1e-100..1000")
    width: tuple[Any, ...] = ("full",)
    if section.has("width"):
        if words != ("kq",):
            raise section.error("width", section.values["width"], "no width here; only kq has one")
        width = section.several(
            "width",
            None,
            lambda v: v == "full" or is_whole(v, 1, 10_000),
            whole_numbers(1, 10_000) + ', or "full"',
        )
    section.asked.update((*STEP_KEYS, "norms"))
    section.done()  # before they are read: a rate beside a misspelt optimizer is not what is wrong
    steps = read_steps(section)
    measured = section.several("norms", (), _is_norm, _NORM_WORDS) if section.has("norms") else ()
    widths = tuple(None if value == "full" else int(value) for value in width)
    scales = tuple(float(value) for value in scale)
    lists = {"parameterization": words, "width": widths, "scale": scales, "steps": steps}
    return _Choices(section, {"measured": measured}, lists)


def _refuse_too_many(top: Section, seeds: int, choices: list[_Choices]) -> None:
    """Complain about the longest list before a grid that nobody can finish, or hold, is laid out."""
    problems = sum(len(c) for c in choices if c.parameters)
    cells = problems * sum(len(c) for c in choices if not c.parameters)
    if cells <= LARGEST_CELLS and cells * seeds <= LARGEST_RUNS:
        return
    lengths = {top.where("seeds"): seeds} if cells <= LARGEST_CELLS else {}
    for choice in choices:
        lengths |= {choice.section.where(key): len(values) for key, values in choice.lists.items()}
    longest = max(lengths, key=lambda where: lengths[where])
    raise InputError(
        f"{longest}: got {lengths[longest]:,} of {cells:,} cells x {seeds:,} seeds = {cells * seeds:,} runs; "
        f"expected at most {LARGEST_CELLS:,} cells and {LARGEST_RUNS:,} runs"
    )


def _refuse_twice(source: str, cells: tuple[Cell, ...]) -> None:
    seen: set[Cell] = set()
    for cell in cells:
        if cell in seen:
            raise InputError(
                f"{source}: problem, model: got the cell {cell.label} twice; expected each cell once; "
                "take it out of one of the tables"
            )
        seen.add(cell)


def _refuse_impossible(source: str, cells: tuple[Cell, ...], seed: int) -> None:
    """Build the first problem of every cell and see that its model and its norms make sense there."""
    built: tuple[str, Problem] | None = None
    for cell in cells:
        try:
            # Cells that differ only in their model come one after the other: build their problem once.
            if built is None or built[0] != cell.source(seed):
                built = cell.source(seed), cell.problem(seed)
            problem = built[1]
            model = cell.model(problem)
            model.shapes(problem.d, problem.d_z)
            if cell.steps is not None and cell.steps.samples > problem.n:
                raise InputError(f"samples: got {cell.steps.samples}; expected at most the {problem.n} that there are")
        except (InputError, UndefinedError) as error:
            raise InputError(f"{source}: problem, model: the cell {cell.label} is impossible: {error}") from None
        for norm in cell.norms:
            if parse_norm(norm).diagonal and not model.diagonal:
                raise InputError(
                    f"{source}: svm.norms: got {norm!r} with parameterization {cell.parameterization}; "
                    "expected nuclear, frobenius, operator, entry-linf, entry-l1, entry-lp:P or own where weights are "
                    "not diagonal"
                )

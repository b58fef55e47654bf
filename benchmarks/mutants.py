"""One-line changes to the code, each in a copy of the tree: which does no test of its room notice?

    python benchmarks/mutants.py [--only NAME ...] [--room ROOM] [--list] [--check] [--fresh] [--processes 2]

The list is benchmarks/mutants.toml: a file, a text that stands in it exactly once, what replaces it, and the tests that
should fail. A mutant is *caught* when one of them fails and the same test passes without the change; a test that fails
either way proves nothing and is named as such. Answers are kept in out/mutants.json, by what the mutant, its file and
its tests say, so that a second run only does what is new. Exit code 1 if a pattern is not found exactly once, if a test
fails by itself, or if a mutant survives whose entry does not say why (`survives`, repeated in docs/honesty.md).
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from typing import Final


ROOT: Final = Path(__file__).parents[1]
LIST: Final = ROOT / "benchmarks" / "mutants.toml"
RESULTS: Final = ROOT / "out" / "mutants.json"
COPIED: Final = (
    *("src", "tests", "docs", "benchmarks", "studies", "recipe", "website"),
    *("pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff"),
)
LIMIT: Final = 1500
"""Seconds after which a mutant counts as caught: it made something run for ever."""


@dataclass(frozen=True)
class Mutant:
    """A change of one place, and the tests that are to notice.

    Attributes:
        name: short, unique.
        file: below src/marginflow.
        find, replace: the place and what it becomes; `find` stands in the file exactly once.
        tests: single tests (file.py::name), files or folders, the quickest first.
        survives: why no test can notice; "" when one must.
    """

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    survives: str = ""

    @property
    def room(self) -> str:
        """The first folder of the file, or the file itself."""
        return self.file.split("/")[0].removesuffix(".py")

    def applied(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            ValueError: the place is not there exactly once.
        """
        count = text.count(self.find)
        if count != 1:
            raise ValueError(f"{self.name}: its text stands {count} times in {self.file}; expected once")
        return text.replace(self.find, self.replace)

    @property
    def key(self) -> str:
        """A digest of all that decides the answer but the rest of the package."""
        total = hashlib.sha256(json.dumps(asdict(self)).encode())
        total.update((ROOT / "src" / "marginflow" / self.file).read_bytes())
        for name in self.tests:
            where = ROOT / name.partition("::")[0]
            for file in [where] if where.is_file() else sorted(where.rglob("*.py")):
                total.update(file.read_bytes())
        return total.hexdigest()


@dataclass(frozen=True)
class Answer:
    """What became of a mutant: caught, survived, or a test that fails by itself."""

    word: str
    by: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Tree:
    """A copy of the repository in which one mutant at a time lives."""

    folder: Path
    log: list[str] = field(default_factory=list)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """The tree with the change, and afterwards as it was."""
        file = self.folder / "src" / "marginflow" / mutant.file
        before = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(before), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(before, encoding="utf-8")

    def failing(self, tests: Sequence[str]) -> tuple[str, bool]:
        """The first of `tests` that fails and whether time ran out; "" when all pass."""
        for test in tests:
            # One by one: pytest leaves out what a later name contains, and runs all of it in the order of folders.
            found = self._failing(test)
            if found[0]:
                return found
        return "", False

    def _failing(self, test: str) -> tuple[str, bool]:
        source = str(self.folder / "src")
        environment = os.environ | {"PYTHONPATH": source, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += ["--no-header", "-rfE", "--tb=no", "-m", "not long and not browser", test]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return f"more than {LIMIT} s in {test}", True
        if done.returncode == 0:
            return "", False
        found = re.search(r"^(?:FAILED|ERROR) (\S+\.py(?:::[^\s\[]+(?:\[.*?\])?)?)(?= - |$)", done.stdout, re.M)
        # Without a name pytest could not even start: the file does not import.
        return found[1] if found else f"(no test ran) {done.stdout.strip()[-200:]}{done.stderr.strip()[-200:]}", False


def listing() -> list[Mutant]:
    """Every mutant of the list."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    found = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    assert len({m.name for m in found}) == len(found), "two mutants have one name"
    return found


def problems(mutants: Sequence[Mutant]) -> list[str]:
    """What is wrong with the list: texts that are not there once, tests that do not exist, code that is none."""
    wrong = []
    for mutant in mutants:
        text = (ROOT / "src" / "marginflow" / mutant.file).read_text(encoding="utf-8")
        try:
            compile(mutant.applied(text), mutant.file, "exec")
        except (ValueError, SyntaxError) as error:
            wrong.append(f"{mutant.name}: {error}")
        wrong += [f"{mutant.name}: no tests at {name}" for name in mutant.tests if not _exists(name)]
    return wrong


def _exists(name: str) -> bool:
    """Whether a folder, a file or a test `file.py::name[parameters]` is there."""
    where, _, test = name.partition("::")
    if not test:
        return (ROOT / where).exists()
    single = rf"^(async )?def {re.escape(test.partition('[')[0])}\("
    return (ROOT / where).is_file() and bool(re.search(single, (ROOT / where).read_text(encoding="utf-8"), re.M))


def judge(mutant: Mutant, tree: Tree) -> Answer:
    """Run the mutant's tests, and the one that fails once more without the change."""
    start = time.monotonic()
    with tree.mutated(mutant):
        failed, late = tree.failing(mutant.tests)
    if not failed:
        return Answer("survived", "", time.monotonic() - start)
    if late:
        return Answer("caught", failed, time.monotonic() - start)
    alone, _ = tree.failing([failed] if ".py" in failed.split("::")[0] else mutant.tests)
    return Answer("fails by itself" if alone else "caught", failed, time.monotonic() - start)


def run(mutants: Sequence[Mutant], processes: int, fresh: bool) -> dict[str, Answer]:
    """The answer of each mutant by name; known ones are not run again."""
    known: dict[str, dict[str, object]] = {}
    if RESULTS.exists() and not fresh:
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
    # Of the files as they are copied: what is edited meanwhile is not what was run.
    keys = {m.name: m.key for m in mutants}
    answers = {name: Answer(**known[key]) for name, key in keys.items() if key in known}  # type: ignore[arg-type]
    todo = [m for m in mutants if m.name not in answers]
    trees: Queue[Tree] = Queue()
    with tempfile.TemporaryDirectory() as name:
        for k in range(min(processes, len(todo))):
            folder = Path(name) / str(k)
            folder.mkdir()
            for part in COPIED:
                whole = ROOT / part
                if whole.is_dir():
                    shutil.copytree(whole, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
                elif whole.exists():
                    shutil.copy(whole, folder / part)
            trees.put(Tree(folder))

        def one(mutant: Mutant) -> None:
            tree = trees.get()
            try:
                answers[mutant.name] = found = judge(mutant, tree)
            finally:
                trees.put(tree)
            print(f"{mutant.name}: {found.word} {found.by} ({found.seconds:.0f} s)", file=sys.stderr, flush=True)
            if found.word != "fails by itself":
                known[keys[mutant.name]] = asdict(found)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(known, indent=1), encoding="utf-8")

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(one, todo))
    return answers


def table(mutants: Sequence[Mutant], answers: dict[str, Answer]) -> str:
    """Markdown: a row a mutant, a count at the end."""
    rows = ["| room | mutant | answer | by |", "|---|---|---|---|"]
    for m in sorted(mutants, key=lambda m: (m.room, m.name)):
        found = answers[m.name]
        rows.append(f"| {m.room} | {m.name} | {found.word} | {found.by or m.survives} |")
    caught = sum(answers[m.name].word == "caught" for m in mutants)
    share = 100.0 * caught / max(len(mutants), 1)
    return "\n".join([*rows, "", f"{caught} of {len(mutants)} caught ({share:.1f} %)"])


def main() -> int:
    """Run the list, or part of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutants")
    parser.add_argument("--room", help="those of one room")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--check", action="store_true", help="only whether each place is there exactly once")
    parser.add_argument("--fresh", action="store_true", help="run also what is known")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    mutants = [m for m in listing() if (not asked.only or m.name in asked.only) and asked.room in (None, m.room)]
    wrong = problems(mutants)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
    if asked.list or asked.check:
        print("\n".join(f"{m.room}: {m.name}" for m in mutants) if asked.list else f"{len(mutants)} mutants")
        return bool(wrong)
    broken = {text.partition(":")[0] for text in wrong}
    mutants = [m for m in mutants if m.name not in broken]
    answers = run(mutants, asked.processes, asked.fresh)
    print(table(mutants, answers))
    bad = [m.name for m in mutants if answers[m.name].word != "caught" and not m.survives]
    if bad:
        print(f"not caught: {', '.join(bad)}", file=sys.stderr)
    return bool(bad or wrong)


if __name__ == "__main__":
    sys.exit(main())

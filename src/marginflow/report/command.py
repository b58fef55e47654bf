"""How to make a run again: its label, and the command that repeats it."""

import math
import shlex
from collections.abc import Sequence

from marginflow.diagnostics.subject import Subject
from marginflow.report.wording import how
from marginflow.trajectory.trajectory import Trajectory


def label_of(path: Trajectory, subject: Subject) -> str:
    """What tells a run from the others of its problem: parameterisation, seed, the scale if that differs."""
    word = path.parameterization.word
    start = f"seed {path.seed}" if path.seed >= 0 else "given start"
    label = f"{path.parameterization.label}{how(path)}, {start}"
    alike = [
        other
        for other in subject.of(word)
        if other is not path and other.seed == path.seed and other.method.label == path.method.label
    ]
    if not alike:
        return label
    if all(other.scale != path.scale for other in alike):
        return f"{label}, scale {path.scale:g}"
    number = next(k for k, other in enumerate(subject.paths) if other is path) + 1
    return f"{label}, run {number}"


def command_of(path: Trajectory, save: str = "run.npz") -> str:
    """The command line that repeats `path`; a given start or an unnamed problem shows as a file to supply."""
    return f"{path.method.command} --save {shlex.quote(save)}" if path.method.command else ""


def note(paths: Sequence[Trajectory]) -> str:
    """What the commands make, and what they cannot."""
    said = ["The commands make these runs and this page again, to the same bits with the same versions and machine."]
    if any(path.seed < 0 for path in paths):
        said.append("START.npz stands for the start that was given: it holds the arrays of the first snapshot.")
    if any(not path.problem.name for path in paths):
        said.append("DATA.npz stands for the data of a problem without a name.")
    # None is no margin asked for; nan one that the file does not hold.
    if any(math.isnan(path.method.options.get("until_margin") or 0.0) for path in paths):
        said.append(
            "A run of an older version does not hold the margin it was asked for: its command asks for that reached."
        )
    return " ".join(said)


def commands(subjects: Sequence[Subject]) -> list[str]:
    """One command per run, in the order of the report's runs, and the one that makes the report of them."""
    found = {place: path for s in subjects for place, path in zip(s.places, s.paths, strict=True)}
    files = {place: f"run-{place + 1}.npz" for place in sorted(found)}
    report = f"run-{{1..{len(files)}}}.npz" if len(files) > 8 else " ".join(files.values())
    runs = [command_of(found[place], save) for place, save in files.items()]
    return [*runs, f"marginflow report {report} -o report.html"]

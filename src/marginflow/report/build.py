"""The door of the report room: runs in, one self-contained HTML file out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from marginflow.atomic_file import whole_file
from marginflow.diagnostics.subject import gather
from marginflow.errors import InputError
from marginflow.pages.kind import Again
from marginflow.report.answer import answer
from marginflow.report.command import commands, note
from marginflow.report.detail import Budget
from marginflow.report.page import render
from marginflow.report.payload import page_data, run_data
from marginflow.trajectory.trajectory import Trajectory


def build_report(paths: Sequence[Trajectory], output: Path, *, progress: Callable[[str], None] | None = None) -> int:
    """Write the page about `paths` to `output` and return its size in bytes.

    Runs on the same data are compared with each other and with the certified SVMs of that data, which are
    solved here. The file appears whole or not at all.

    Args:
        paths: runs, of one problem or of several.
        output: the HTML file; replaced if it exists.
        progress: called with a status text now and then.

    Raises:
        InputError: no run, or a file that cannot be written.
    """
    if not paths:
        raise InputError("report: got no runs; expected at least one saved by `marginflow flow --save`")
    show = progress or (lambda text: None)
    subjects = gather(paths, show)
    budget = Budget(len(paths))
    runs: dict[int, dict[str, Any]] = {}
    for number, subject in enumerate(subjects):
        for place, path in zip(subject.places, subject.paths, strict=True):
            show(f"run {len(runs) + 1} of {len(paths)}")
            runs[place] = run_data(path, subject, index=place, problem=number, runs=len(paths), budget=budget)
    order = sorted(runs)
    page = render(
        subjects,
        [answer(subject) for subject in subjects],
        [runs[place] for place in order],
        Again(commands(subjects), note(paths)),
        page_data(subjects, [runs[place] for place in order]),
    )
    show("writing")
    data = page.encode("utf-8")
    with whole_file(output) as draft:
        draft.write_bytes(data)
    return len(data)

"""The first screen's table: each kind of run, where it ended, and how far from the least norm."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marginflow import rounding
from marginflow.diagnostics.follow_ups import follow_ups
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.report.wording import above, how, number
from marginflow.trajectory.trajectory import Trajectory


MOST = 12
"""Rows; what is beyond stands in the table of all runs."""

_KINDS = {
    "problem": "text",
    "verdict": "text",
    "norm": "text",
    "norm ⁄ margin": "",
    "certified least": "",
    "ended": "",
}
_WORDS = {"minimal_loss": "minimal loss", "trapped": "trapped", "undecided": "undecided"}


@dataclass(frozen=True)
class Verdict:
    """The runs of one kind on one problem with one verdict; numbers are of the one farthest from the least norm."""

    label: str
    word: str
    problem: str
    status: str
    norm: str
    value: float
    least: float
    own: bool

    @property
    def cells(self) -> list[tuple[str, str]]:
        """(name of the column, text)."""
        star = "*" if self.own else ""
        least = "–" if np.isnan(self.least) else f"≥ {rounding.text_down(self.least, 6)}"
        over = "–" if np.isnan(self.value) or np.isnan(self.least) else above(self.value / self.least - 1.0)
        return [
            ("problem", self.problem),
            ("verdict", _WORDS[self.status]),
            ("norm", self.norm),
            ("norm ⁄ margin", number(self.value, 6) + star),
            ("certified least", least + star),
            ("ended", over),
        ]


def verdicts(subjects: Sequence[Subject]) -> list[Verdict]:
    """One row for each kind of run, problem and verdict."""
    out = []
    for subject in subjects:
        for paths in subject.groups:
            for status in _WORDS:
                some = [path for path in paths if path.status.name == status]
                if some:
                    out.append(_row(subject, some, len(paths)))
    return out


def _row(subject: Subject, some: list[Trajectory], of: int) -> Verdict:
    norm = parse_norm(some[0].norm)
    farthest, value, least = some[0], np.nan, np.nan
    for path in some:
        solution = subject.compared(path)
        mine = comparison(path).norm_over_lead(norm)
        lower = solution.certificate.lower if solution is not None and solution.status.name == "optimal" else np.nan
        if np.isnan(value) or mine / lower > value / least:
            farthest, value, least = path, mine, lower
    count = f", {len(some)} of {of}" if of > 1 else ""
    return Verdict(
        some[0].parameterization.label + how(some[0]) + count,
        some[0].parameterization.word,
        subject.heading,
        some[0].status.name,
        norm.label,
        float(value),
        float(least),
        comparison(farthest).own,
    )


def verdict_table(subjects: Sequence[Subject]) -> str:
    """The rows as HTML; columns that say the same everywhere are left out."""
    rows = verdicts(subjects)
    shown = rows[:MOST]
    skipped = {"problem"} if len(subjects) == 1 else set()
    names = [name for name, _ in shown[0].cells if name not in skipped]
    head = '<th scope="col">weights</th>'
    head += "".join(f'<th scope="col" class="{_KINDS[name]}">{name}</th>' for name in names)
    body = ""
    for row in shown:
        cells = "".join(_cell(row, name, text) for name, text in row.cells if name not in skipped)
        label = html.escape(row.label)
        body += f'<tr><th scope="row" class="badge word-{html.escape(row.word)}">{label}</th>{cells}</tr>'
    notes = []
    if any(row.own for row in shown):
        notes.append("* of the tokens the run is trapped on: norm over its lead, beside the SVM of those tokens.")
    if len(rows) > MOST:
        notes.append(f"{len(rows) - MOST} more rows stand in the table of all runs.")
    caption = f"<caption>{' '.join(notes)}</caption>" if notes else ""
    return (
        '<div class="scroll free" tabindex="0" role="group" aria-label="Table: where each kind of run ended">'
        f'<table class="verdicts stack">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(row: Verdict, name: str, text: str) -> str:
    kind = row.status if name == "verdict" else _KINDS[name]
    return f'<td data-label="{name}" class="{kind}">{html.escape(text)}</td>'


def after_a_trap(subjects: Sequence[Subject]) -> str:
    """Three commands that go on from the first trapped run; "" where none is trapped."""
    stuck = [path for subject in subjects for path in subject.paths if path.status.name == "trapped"]
    if not stuck:
        return ""
    lines = "\n".join(f"{command}  # {question}" for question, command in follow_ups(stuck[0]))
    return (
        '<div class="onward"><p>To go on from the trap:</p><pre tabindex="0" role="region" '
        f'aria-label="Commands after a trap">{html.escape(lines)}</pre></div>'
    )

"""The first screen's table: each kind of run, where it ended, and how far from the least norm."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marginflow import rounding
from marginflow.diagnostics.follow_ups import follow_ups
from marginflow.diagnostics.on_faces import OnFaces, on_faces, up
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.report.heads import HeadEnd, ends_of_heads
from marginflow.report.wording import above, how, number
from marginflow.trajectory.trajectory import Trajectory


MOST = 12
"""Rows; what is beyond stands in the table of all runs."""

_KINDS = {
    "problem": "text",
    "verdict": "text",
    "faces": "text",
    "shares off": "",
    "finite part off": "",
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
    whose: str
    faces: OnFaces | None
    heads: tuple[HeadEnd, ...]

    @property
    def own(self) -> bool:
        """Whether the SVM is that of tokens or faces of the run's own."""
        return bool(self.whose)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """(name of the column, text)."""
        return _cells(self, _WORDS[self.status], self.value, self.least)


def _cells(row: Verdict, verdict: str, value: float, least: float) -> list[tuple[str, str]]:
    """The columns of a run, or of one of its heads, whose norm over margin is `value`."""
    star = "*" if row.own else ""
    over = "–" if np.isnan(value) or np.isnan(least) else above(value / least - 1.0)
    return [
        ("problem", row.problem),
        ("verdict", verdict),
        ("faces", "–" if row.faces is None else "predicted" if row.faces.predicted else "others"),
        ("shares off", "–" if row.faces is None else up(row.faces.shares_off)),
        ("finite part off", "–" if row.faces is None else up(row.faces.finite_off)),
        ("norm", row.norm),
        ("norm ⁄ margin", number(value, 6) + star),
        ("certified least", ("–" if np.isnan(least) else f"≥ {rounding.text_down(least, 6)}") + star),
        ("ended", over),
    ]


def verdicts(subjects: Sequence[Subject]) -> list[Verdict]:
    """One row for each kind of run, problem, verdict, and tokens or faces that it is compared with."""
    out = []
    for subject in subjects:
        for paths in subject.groups:
            ends: dict[tuple[str, str], list[Trajectory]] = {}
            for path in paths:
                ends.setdefault((path.status.name, comparison(path).whose), []).append(path)
            order = sorted(ends, key=lambda end: list(_WORDS).index(end[0]))
            out += [_row(subject, ends[end], len(paths)) for end in order]
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
        comparison(farthest).whose if comparison(farthest).own else "",
        on_faces(farthest),
        tuple(ends_of_heads(farthest, subject)),
    )


def verdict_table(subjects: Sequence[Subject]) -> str:
    """The rows as HTML; columns that say the same everywhere are left out."""
    rows = verdicts(subjects)
    shown = rows[:MOST]
    skipped = {"problem"} if len(subjects) == 1 else set()
    if not any(subject.goal.keeps_faces for subject in subjects):
        skipped |= {"faces", "shares off", "finite part off"}
    names = [name for name, _ in shown[0].cells if name not in skipped]
    head = '<th scope="col">weights</th>'
    head += "".join(f'<th scope="col" class="{_KINDS[name]}">{name}</th>' for name in names)
    body = ""
    for row in shown:
        cells = "".join(_cell(row.status, name, text) for name, text in row.cells if name not in skipped)
        label = html.escape(row.label)
        body += f'<tr><th scope="row" class="badge word-{html.escape(row.word)}">{label}</th>{cells}</tr>'
        for part in row.heads:
            status, own = _of_head(row, part)
            line = "".join(_cell(status, name, text) for name, text in own if name in names)
            body += f'<tr class="part"><th scope="row">head {part.head}</th>{line}</tr>'
    notes = []
    if any(row.own for row in shown):
        whose = " or ".join(dict.fromkeys(row.whose for row in shown if row.own))
        notes.append(f"* of {whose}: norm over its lead, beside the SVM of those.")
    if len(rows) > MOST:
        notes.append(f"{len(rows) - MOST} more rows stand in the table of all runs.")
    caption = f"<caption>{' '.join(notes)}</caption>" if notes else ""
    return (
        '<div class="scroll free" tabindex="0" role="group" aria-label="Table: where each kind of run ended">'
        f'<table class="verdicts stack">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _of_head(row: Verdict, head: HeadEnd) -> tuple[str, list[tuple[str, str]]]:
    """The verdict on one head of the run of `row`, and its cells: its own norm, margin and certified least."""
    status = "undecided" if row.status == "undecided" else "trapped" if head.wrong else "minimal_loss"
    word = {"trapped": "on wrong tokens", "minimal_loss": "on optimal tokens"}.get(status, "undecided")
    least = np.nan if head.least is None else head.least.lower
    return status, _cells(row, word, head.value, least)


def _cell(status: str, name: str, text: str) -> str:
    kind = status if name == "verdict" else _KINDS[name]
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

"""Runs beside each other and beside the certified SVM of each norm: the contrast that the theory is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from marginflow.diagnostics.headline import headline
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject, gather
from marginflow.errors import InputError
from marginflow.frames import data_frame
from marginflow.norms import parse_norm
from marginflow.notebook import grid
from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import number


@dataclass(frozen=True, eq=False)
class Contrast:
    """What `compare` found.

    Attributes:
        subjects: the problems, each with its runs and its certified SVMs.
    """

    subjects: tuple[Subject, ...]

    @property
    def sentence(self) -> str:
        """Which least norm each kind of run came to, and which are trapped."""
        return headline(self.subjects)

    @cached_property
    def norms(self) -> tuple[str, ...]:
        """The norms compared."""
        return tuple(dict.fromkeys(norm for subject in self.subjects for norm in subject.solutions))

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """One per run, in the order given: run, problem, status, margin, own, predicted, ratio, and for each norm two.

        These are its value over the margin, and how far that is above the certified least, relatively; nan where there
        is none. Of a run on tokens or faces of its own (`own` says which, "" for none) they are those of them.
        """
        found = {place: _row(s, path, self.norms) for s in self.subjects for place, path in _placed(s)}
        return tuple(found[place] for place in sorted(found))

    def to_dataframe(self) -> Any:
        """`rows` as a data frame.

        Raises:
            InputError: neither pandas nor polars is installed.
        """
        return data_frame({name: [row[name] for row in self.rows] for name in self.rows[0]})

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["run", "verdict", *(f"{parse_norm(norm).label} ⁄ margin" for norm in self.norms), "R − 1"]
        lines = []
        for row in self.rows:
            cells = [_cell(row, norm) for norm in self.norms]
            lines.append([f"{row['run']}, {row['problem']}", row["status"], *cells, number(row["ratio"] - 1.0, 3)])
        for subject in self.subjects:
            least = [subject.solution(norm) for norm in self.norms]
            bounds = ["–" if s is None else s.certificate.interval(6) for s in least]
            lines.append([f"certified least, {subject.title}", "", *bounds, ""])
        return head, lines

    def __repr__(self) -> str:
        head, lines = self._table()
        widths = [max(len(row[k]) for row in [head, *lines]) for k in range(len(head))]
        aligned = [[cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in [head, *lines]]
        return "\n".join([self.sentence, *("  ".join(row).rstrip() for row in aligned), *self._notes])

    def _repr_html_(self) -> str:
        head, lines = self._table()
        return grid(self.sentence, head, lines, notes=self._notes)

    @property
    def _notes(self) -> list[str]:
        own = dict.fromkeys(row["own"] for row in self.rows if row["own"])
        return [f"* over the lead of {' or '.join(own)}, which has a least norm of its own"] if own else []


def compare(paths: Trajectory | Sequence[Trajectory]) -> Contrast:
    """Runs on one problem or several, beside the certified SVM of every norm that one of them is predicted to minimise.

    Raises:
        InputError: no runs, or something else.
    """
    runs = [paths] if isinstance(paths, Trajectory) else list(paths)
    if not runs or not all(isinstance(path, Trajectory) for path in runs):
        raise InputError(f"compare: got {runs!r:.60}; expected runs, such as marginflow.integrate(problem, 'kq')")
    return Contrast(tuple(gather(runs, lambda text: None)))


def _placed(subject: Subject) -> list[tuple[int, Trajectory]]:
    return list(zip(subject.places, subject.paths, strict=True))


def _row(subject: Subject, path: Trajectory, norms: Sequence[str]) -> dict[str, Any]:
    seen = comparison(path)
    start = f"seed {path.seed}" if path.seed >= 0 else "given start"
    made = "" if path.method.is_flow else f", {path.method.label}"
    row: dict[str, Any] = {
        "run": f"{path.parameterization.label}{made}, {start}",
        "problem": subject.title,
        "status": path.status.name,
        "margin": float(path.margin[-1]),
        "own": seen.whose if seen.own else "",
        "predicted": path.method.norm,
        "ratio": seen.ratio(path.norm),
    }
    for norm in norms:
        value, above = np.nan, np.nan
        if norm in subject.norms_of(path):
            value = seen.norm_over_lead(norm)
            solution = subject.compared(path) if seen.own and norm == path.norm else subject.solution(norm)
            if solution is not None and solution.status.name == "optimal" and (not seen.own or norm == path.norm):
                above = value / solution.certificate.lower - 1.0
        row |= {f"{norm}_over_margin": value, f"{norm}_above": above}
    return row


def _cell(row: dict[str, Any], norm: str) -> str:
    star = "*" if row["own"] else ""
    text = number(row[f"{norm}_over_margin"], 6) + star
    return f"[{text}]" if row["predicted"] == norm else text

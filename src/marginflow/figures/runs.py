"""Figures for papers: one column wide, vector, fonts embedded, readable without colour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject, gather
from marginflow.errors import InputError
from marginflow.figures import curves, panels
from marginflow.figures.heads import heads, panels_of_heads
from marginflow.figures.legend import legend_height
from marginflow.figures.panels import rows_and_columns
from marginflow.figures.run import Run, told_apart
from marginflow.figures.style import PLAIN, Sheet, drawing
from marginflow.trajectory.trajectory import Trajectory


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Kind:
    """One kind of figure.

    Attributes:
        draw: (figure, subject, runs).
        height: inches of a panel.
        margins: it divides by the margin, so that runs that end with none are left out.
        each: a panel for each run.
    """

    draw: Callable[..., None]
    height: float
    margins: bool = True
    each: bool = False


KINDS: Final = {
    "time": Kind(curves.time, 2.4, margins=False),
    "norms": Kind(curves.norms, 1.5),
    "heads": Kind(heads, 1.7),
    "ratio": Kind(curves.ratio, 2.4),
    "spectrum": Kind(panels.spectrum, 2.2, each=True),
    "attention": Kind(panels.attention, 3.0, margins=False, each=True),
    "support": Kind(panels.support, 2.2, each=True),
    "balance": Kind(curves.balance, 3.2),
}
"""Every figure by its name; a new one is one function and one line here."""

MOST_PANELS: Final = 12
"""Panels of a figure with one for each run."""


@dataclass(frozen=True)
class Picked:
    """The runs that a figure draws, and what is said of the others.

    Attributes:
        subject: the problem with all runs.
        runs: those drawn.
        notes: (place among the paths given, why it is left out).
    """

    subject: Subject
    runs: list[Run]
    notes: list[tuple[int, str]]


def pick(paths: Sequence[Trajectory], kind: str) -> Picked:
    """Choose what figure `kind` can draw of runs on one problem.

    Raises:
        InputError: an unknown kind, runs on different problems, or no run that the figure can show.
    """
    if kind not in KINDS:
        raise InputError(f"--kind: got {kind!r}; expected one of {', '.join(KINDS)}")
    subjects = gather(paths, lambda text: None)
    if len(subjects) != 1:
        raise InputError(f"figure: got runs on {len(subjects)} problems; expected runs on one")
    timed = any(path.method.is_flow for path in paths)
    notes = [(k, why) for k, path in enumerate(paths) if (why := _unsuitable(path, kind, timed))]
    left = {k for k, _ in notes}
    drawn = [path for k, path in enumerate(paths) if k not in left]
    if not drawn:
        raise InputError(f"figure {kind}: none of {len(paths)} runs can be drawn: {notes[0][1]}")
    if KINDS[kind].each and len(drawn) > MOST_PANELS:
        beyond = [k for k in range(len(paths)) if k not in left][MOST_PANELS:]
        notes += [(k, f"a figure has {MOST_PANELS} panels at most") for k in beyond]
        drawn = drawn[:MOST_PANELS]
    return Picked(subjects[0], told_apart([Run(path, subjects[0]) for path in drawn]), notes)


def save_figure(paths: Sequence[Trajectory], kind: str, output: Path, *, sheet: Sheet = PLAIN) -> list[tuple[int, str]]:
    """Draw figure `kind` of runs on one problem and write it; the suffix chooses pdf, svg, png, eps or pgf.

    Returns:
        The runs that are left out: (place among `paths`, why).

    Raises:
        InputError: as `pick`; an unknown suffix or font, no matplotlib, or no LaTeX for pgf.
    """
    title = f"marginflow: {kind} of {paths[0].problem.name or 'own data'}" if paths else ""
    with drawing(output, sheet.inches, sheet.tall(_TALL), sheet=sheet, title=title) as figure:
        return draw(figure, pick(paths, kind), kind, sheet)


def draw(figure: "Figure", picked: Picked, kind: str, sheet: Sheet) -> list[tuple[int, str]]:
    """Draw the runs `picked` on `figure`, which becomes as high as they need; what is left out."""
    each = KINDS[kind]
    rows = _rows(picked, kind, sheet)
    figure.set_figheight(sheet.tall(each.height * rows))
    each.draw(figure, picked.subject, picked.runs)
    # A legend of many lines takes nothing from the panels.
    figure.set_figheight(sheet.tall(each.height * rows + legend_height(figure)))
    return picked.notes


def _rows(picked: Picked, kind: str, sheet: Sheet) -> int:
    """Panels above each other."""
    if kind == "heads":
        return len(panels_of_heads(picked.runs))
    if KINDS[kind].each:
        return rows_and_columns(len(picked.runs), sheet.inches)[0]
    return len(picked.subject.solutions) if kind == "norms" else 1


_TALL: Final = 3.0
"""Inches, until it is known what is drawn."""


def _unsuitable(path: Trajectory, kind: str, timed: bool) -> str:
    """Why the figure cannot show this run, where others have times if `timed`; "" where it can."""
    numbers = [path.log_excess[-1:], path.margin[-1:], path.W(-1), path.dual(-1)]
    numbers += [path.log_time[-1:]] if path.method.is_flow else []
    if not all(bool(np.isfinite(x).all()) for x in numbers):
        return "it ends with a time or weights that are not finite; `marginflow report` says what they are"
    seen = comparison(path)
    if path.goal.keeps_faces and seen.own and KINDS[kind].margins:
        return "it ends on other faces than those of the least loss, by whose lead this divides; a report draws it"
    if kind == "balance" and seen.constraints.equal.any():
        return "its rows go to faces of several tokens, where multipliers have any sign: no residuals are defined"
    if KINDS[kind].margins and not path.margin[-1] > 0:
        word = path.status.name.replace("_", " ")
        return f"it is {word} and ends with a margin at or below 0, by which nothing can be divided"
    if kind == "time" and timed and not path.method.is_flow:
        return "its steps have no time; draw it without those that have"
    return ""

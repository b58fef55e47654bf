"""A figure of runs as an object that notebooks show."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from marginflow.figures.runs import KINDS as KINDS, draw, pick, save_figure
from marginflow.figures.style import PLAIN, Sheet, figure_of, write
from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import plural


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure; a notebook shows it, `save` writes it.

    Attributes:
        paths: the runs asked for.
        kind: of `KINDS`.
        sheet: its size and font.
        svg: the drawing.
        notes: the runs left out: (place among `paths`, why).
    """

    paths: tuple[Trajectory, ...]
    kind: str
    sheet: Sheet

    @cached_property
    def _drawn(self) -> tuple[str, list[tuple[int, str]]]:
        with figure_of(self.sheet.inches, self.sheet.tall(3.0), self.sheet, "svg") as figure:
            notes = draw(figure, pick(self.paths, self.kind), self.kind, self.sheet)
            text = io.StringIO()
            write(figure, text, format="svg", metadata={"Date": None})
        return text.getvalue()[text.getvalue().index("<svg") :], notes

    @property
    def svg(self) -> str:
        """The drawing, as an svg element."""
        return self._drawn[0]

    @property
    def notes(self) -> list[tuple[int, str]]:
        """The runs left out."""
        return self._drawn[1]

    def save(self, path: str | Path) -> None:
        """Write it: .pdf, .svg, .png, .eps or .pgf.

        Raises:
            InputError: as `save_figure`.
        """
        save_figure(self.paths, self.kind, Path(path), sheet=self.sheet)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        left = f", {len(self.notes)} left out: {self.notes[0][1]}" if self.notes else ""
        return f"Picture({self.kind} of {plural(len(self.paths) - len(self.notes), 'run')}{left})"


def plot(
    paths: Trajectory | Sequence[Trajectory],
    kind: str = "norms",
    *,
    width: float | None = None,
    height: float | None = None,
    font: str | None = None,
    font_size: float = PLAIN.font_size,
) -> Picture:
    """Figure `kind` of one run or of several on one problem; needs matplotlib (extra `paper`).

    Args:
        paths: the runs.
        kind: time, norms, heads, ratio, spectrum, attention, support or balance.
        width, height: centimetres; a column, and what the figure needs, by default.
        font: serif, sans-serif, monospace or the name of an installed font.
        font_size: points.

    Raises:
        InputError: an unknown kind or font, runs on different problems, nothing that can be drawn, or no matplotlib.
    """
    runs = (paths,) if isinstance(paths, Trajectory) else tuple(paths)
    picture = Picture(runs, kind, Sheet(width, height, font, font_size))
    assert picture.svg  # what cannot be drawn is refused here, not where it is shown
    return picture

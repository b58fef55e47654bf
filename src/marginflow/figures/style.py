"""What all figures share: matplotlib if it is there, size and font, colours, log axes that may be empty, files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.model.parameterization import AbstractParameterization


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CENTIMETRES: Final = 2.54
"""In an inch."""

COLUMN: Final = 8.6
"""Centimetres: one column of a two-column page."""

SUFFIXES: Final = ("pdf", "svg", "png", "eps", "pgf")

FAMILIES: Final = ("sans-serif", "serif", "monospace")

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "kq": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "w": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    "diag-kq": {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    "diag": {"color": "#CC79A7", "linestyle": ":", "marker": "D"},
}
"""Okabe and Ito's colours, each with its own line and marker: none is told apart by colour alone."""

_OTHERS: Final[tuple[dict[str, Any], ...]] = (
    {"color": "#E69F00", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (7, 2)), "marker": "P"},
    {"color": "0.3", "linestyle": (0, (1, 2)), "marker": "X"},
)

LEGEND: Final = 7
"""Entries of a legend; what is beyond is counted in the last of them."""


@dataclass(frozen=True)
class Sheet:
    """How large a figure is and how its text is set.

    Attributes:
        width, height: centimetres; None for a column, and for what the figure needs.
        font: a family (serif, sans-serif, monospace) or the name of an installed font; None for matplotlib's.
        font_size: of the labels, in points; legends are a point smaller.
    """

    width: float | None = None
    height: float | None = None
    font: str | None = None
    font_size: float = 8.0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("width", self.width, 3.0, 60.0),
            ("height", self.height, 2.0, 90.0),
            ("font-size", self.font_size, 4.0, 24.0),
        ):
            if value is not None and not low <= value <= high:
                unit = "points" if name == "font-size" else "centimetres"
                raise InputError(f"--{name}: got {value:g}; expected {low:g} to {high:g} {unit}")

    @property
    def inches(self) -> float:
        """The width."""
        return (COLUMN if self.width is None else self.width) / CENTIMETRES

    def tall(self, needed: float) -> float:
        """The height in inches: that asked for, else what the figure needs."""
        return needed if self.height is None else self.height / CENTIMETRES

    def rc(self, suffix: str) -> dict[str, Any]:
        """matplotlib's settings.

        Raises:
            InputError: a font that is not installed.
        """
        family: dict[str, Any] = {}
        if self.font in FAMILIES:
            family = {"font.family": [self.font]}
        elif self.font is not None:
            from matplotlib.font_manager import fontManager

            names = sorted({entry.name for entry in fontManager.ttflist})
            if self.font not in names:
                raise InputError(
                    f"--font: got {self.font!r}, which is not installed; expected {', '.join(FAMILIES)} or one of "
                    f"{', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
                )
            family = {"font.family": [self.font]}
        size = self.font_size
        # Serif figures stand in serif text, whose formulas are Computer Modern.
        maths = {"mathtext.fontset": "cm"} if self.font == "serif" else {}
        sizes = {"font.size": size, "axes.labelsize": size, "axes.titlesize": size, "legend.fontsize": size - 1}
        return _RC | sizes | {"xtick.labelsize": size, "ytick.labelsize": size} | family | maths


PLAIN: Final = Sheet()

_RC: Final[dict[str, Any]] = {
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "hatch.linewidth": 0.4,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    # Text stays text: it can be searched, edited and read aloud.
    "svg.fonttype": "none",
    "svg.hashsalt": "marginflow",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
}


def look_of(model: AbstractParameterization) -> dict[str, Any]:
    """Colour, line and marker of a parameterisation; those of others than the library's by their word."""
    return LOOKS.get(model.word) or _OTHERS[sum(model.word.encode()) % len(_OTHERS)]


def label_of(model: AbstractParameterization) -> str:
    """Its symbols, in letters that the figure's font has."""
    return model.label.replace("∘", "$\\circ$")


@contextmanager
def drawing(
    path: str | os.PathLike[str],
    width: float,
    height: float,
    *,
    sheet: Sheet = PLAIN,
    title: str = "",
    grown: bool = False,
) -> "Iterator[Figure]":
    """Yield a figure of this size in inches and, if nothing fails, write it: the suffix of `path` chooses the format.

    Args:
        path: the file.
        width, height: inches.
        sheet: the font.
        title: kept in the file's metadata.
        grown: the file is as large as what is drawn, so that a legend outside the axes is part of it, however long.

    Raises:
        InputError: an unknown suffix or font, no matplotlib, or no LaTeX for .pgf.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: got suffix {suffix!r}; expected {', '.join(f'.{s}' for s in SUFFIXES)}")
    with figure_of(width, height, sheet, suffix) as figure:
        yield figure
        with whole_file(path) as draft:
            box: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05} if grown else {}
            try:
                # A stream: the name of a draft is no title.
                with open(draft, "wb") as stream:
                    write(figure, stream, format=suffix, metadata=_metadata(suffix, title), **box)
            except (FileNotFoundError, RuntimeError) as error:
                if suffix != "pgf":
                    raise
                raise InputError(f"{path}: .pgf needs a LaTeX that runs ({error}); write .pdf or .svg") from None


@contextmanager
def figure_of(width: float, height: float, sheet: Sheet, suffix: str) -> "Iterator[Figure]":
    """A figure of this size in inches, to be drawn and written inside.

    Raises:
        InputError: no matplotlib, or an unknown font.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("figure: needs matplotlib; install it with pip install 'marginflow[paper]'") from None
    with matplotlib.rc_context(sheet.rc(suffix)):
        yield Figure(figsize=(width, height))


def write(figure: "Figure", stream: IO[Any], **options: Any) -> None:
    """Write the figure.

    Raises:
        InputError: its text leaves no room for anything to be drawn.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="constrained_layout not applied")
        try:
            figure.savefig(stream, **options)
        except UserWarning:
            raise InputError("figure: too small for its text; give more --width or --height") from None


def _metadata(suffix: str, title: str) -> dict[str, Any]:
    """The title; and no date, so that two runs of the same command give the same bytes."""
    no_date: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
    return no_date | ({"Title": title} if title and suffix in ("pdf", "svg", "png") else {})


def log_plot(axes: "Axes", x: Floats, y: Floats, *, where: Bools | None = None, **look: Any) -> None:
    """Draw the points (of those in `where`) whose numbers are positive and finite: others have no place on log axes."""
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    good = good if where is None else good & where
    if good.any():
        axes.plot(x[good], y[good], **look)


def room_for_ends(axes: "Axes", ends: Sequence[float]) -> None:
    """The ordinates about where curves end, with room above for the legend; as they are where nothing is finite."""
    finite = [value for value in ends if np.isfinite(value)]
    if finite:
        room = max(max(finite) - min(finite), 0.15 * max(finite))
        axes.set_ylim(min(finite) - 0.15 * room, max(finite) + 0.5 * room)


def log_scales(axes: "Axes", *which: str) -> bool:
    """Make axes logarithmic; where nothing positive is drawn they stay as they are and say so. Whether something is."""
    drawn = any(len(line.get_xdata()) for line in axes.lines)  # type: ignore[arg-type]
    if drawn:
        axes.set(**{f"{name}scale": "log" for name in which})
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "nothing above rounding", transform=axes.transAxes, ha="center", va="center", color="0.4")
    return drawn

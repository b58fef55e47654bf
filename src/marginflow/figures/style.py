"""What all figures share: matplotlib if it is there, size, colours, log axes that may be empty, files, legends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.model.parameterization import AbstractParameterization


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH: Final = 3.4
"""Inches: one column of a two-column page."""

SUFFIXES: Final = ("pdf", "svg", "png")

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

RC: Final[Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "marginflow",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
}

LEGEND: Final = 7
"""Entries of a legend; what is beyond is counted in the last of them."""


def look_of(model: AbstractParameterization) -> dict[str, Any]:
    """Colour, line and marker of a parameterisation; those of others than the library's by their word."""
    return LOOKS.get(model.word) or _OTHERS[sum(model.word.encode()) % len(_OTHERS)]


def label_of(model: AbstractParameterization) -> str:
    """Its symbols, in letters that the figure's font has."""
    return model.label.replace("∘", "$\\circ$")


@contextmanager
def drawing(path: str | os.PathLike[str], width: float, height: float, *, grown: bool = False) -> "Iterator[Figure]":
    """Yield a figure of this size in inches and, if nothing fails, write it: the suffix of `path` chooses the format.

    Args:
        path: the file.
        width, height: inches.
        grown: the file is as large as what is drawn, so that a legend outside the axes is part of it, however long.

    Raises:
        InputError: an unknown suffix, or no matplotlib.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: got suffix {suffix!r}; expected {', '.join(f'.{s}' for s in SUFFIXES)}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("figure: needs matplotlib; install it with pip install 'marginflow[paper]'") from None
    # Without a date two runs of the same command give the same bytes.
    stamp: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix, {})
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(width, height))
        yield figure
        with whole_file(path) as draft:
            box: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05} if grown else {}
            figure.savefig(draft, format=suffix, metadata=stamp, **box)


def log_plot(axes: "Axes", x: Floats, y: Floats, *, where: Bools | None = None, **look: Any) -> None:
    """Draw the points (of those in `where`) whose numbers are positive and finite: others have no place on log axes."""
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    good = good if where is None else good & where
    if good.any():
        axes.plot(x[good], y[good], **look)


def log_scales(axes: "Axes", *which: str) -> bool:
    """Make axes logarithmic; where nothing positive is drawn they stay as they are and say so. Whether something is."""
    drawn = any(len(line.get_xdata()) for line in axes.lines)  # type: ignore[arg-type]
    if drawn:
        axes.set(**{f"{name}scale": "log" for name in which})
    else:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "nothing above rounding", transform=axes.transAxes, ha="center", va="center", color="0.4")
    return drawn

"""A legend above the axes, as wide as the figure and no wider: it covers no curve and is never cut."""

import textwrap
from typing import TYPE_CHECKING

from marginflow.figures.run import Run
from marginflow.figures.style import LEGEND


if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.transforms import BboxBase


def legend(figure: "Figure", runs: list[Run], *, law: bool = False, marker: bool = False) -> None:
    """One entry for each name among `runs`; those beyond `LEGEND` are counted."""
    from matplotlib.lines import Line2D

    looks = {run.name: run.look for run in runs}
    names = list(looks)
    shown = names if len(names) <= LEGEND else names[: LEGEND - 1]
    handles = []
    for name in shown:
        style = looks[name] | ({"linestyle": "none"} if marker else {"marker": None})
        handles.append(Line2D([], [], label=textwrap.fill(name, _letters(figure)), **style))
    if len(shown) < len(names):
        handles.append(Line2D([], [], color="none", label=f"{len(names) - len(shown)} others"))
    if law:
        handles.append(Line2D([], [], color="0.75", linewidth=4, label="predicted"))
    for columns in range(len(handles), 0, -1):
        # "outside": the layout leaves room for it.
        found = figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.2)
        if columns == 1 or _box(figure, found).width <= 0.98 * figure.bbox.width:
            return
        found.remove()


def _letters(figure: "Figure") -> int:
    """About how many letters stand beside a handle in a line of the legend; formulas count a few too many."""
    import matplotlib

    size = float(matplotlib.rcParams["legend.fontsize"])
    return max(10, int((72.0 * figure.get_figwidth() / size - 4.0) / 0.6))


def legend_height(figure: "Figure") -> float:
    """Inches that its legends take."""
    return sum(_box(figure, found).height for found in figure.legends) / float(figure.dpi)


def _box(figure: "Figure", found: "Legend") -> "BboxBase":
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return found.get_window_extent(FigureCanvasAgg(figure).get_renderer())

"""The figure of most rows: norm over (margin x certified least norm), less 1, against the margin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.figures.style import LOOKS, log_plot, log_scales
from marginflow.gallery.ending import Ending


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


EARLIEST: Final = 0.1
"""Margin from which runs are drawn: before it they are still finding their tokens."""

SEVERAL: Final = 12
"""Curves drawn one by one; of more a band."""

FLOOR: Final = 1e-16
"""An excess of 0 has no place on a logarithmic axis."""


@dataclass(frozen=True)
class Group:
    """Runs that one line of the legend names.

    Attributes:
        look: whose colour and line, a key of `LOOKS`.
        endings: the runs.
        label: the line of the legend.
        peer: N(W) / (margin x least norm) - 1 where the paper's rule ended; nan for none.
    """

    look: str
    endings: Sequence[Ending]
    label: str
    peer: float = float("nan")


def draw_excess(figure: "Figure", groups: Sequence[Group]) -> None:
    """A curve for each run; of more than `SEVERAL` the median and the range from least to largest."""
    axes = figure.subplots()
    for group in groups:
        look: dict[str, Any] = {key: LOOKS[group.look][key] for key in ("color", "linestyle")}
        if len(group.endings) > SEVERAL:
            _band(axes, group, look)
        else:
            for k, ending in enumerate(group.endings):
                margin, excess = ending.curve()
                log_plot(axes, margin, excess, where=margin > EARLIEST, **look, label=group.label if k == 0 else None)
        if np.isfinite(group.peer):
            name = f"{group.label}: the paper's rule ended"
            axes.axhline(group.peer, color=look["color"], linewidth=0.9, linestyle=(0, (1, 2)), label=name)
    log_scales(axes, "x", "y")
    axes.set_xlabel("least margin over the tokens selected")
    axes.set_ylabel("norm / (margin × least norm) − 1")
    axes.legend(fontsize=6.5)


def _band(axes: "Axes", group: Group, look: dict[str, Any]) -> None:
    curves = [ending.curve() for ending in group.endings]
    last = min(float(margin[-1]) for margin, _ in curves if len(margin))
    grid = np.geomspace(1.0, last, 60)
    heights = np.array([_on_grid(grid, margin, excess) for margin, excess in curves if len(margin)])
    low, middle, high = np.nanquantile(heights, [0.0, 0.5, 1.0], axis=0)
    log_plot(axes, grid, middle, **look, label=f"{group.label}: median, least to largest")
    axes.fill_between(grid, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _on_grid(grid: Floats, margin: Floats, excess: Floats) -> Floats:
    """The excess at the margins of `grid`, which it reaches in no order: each margin where it was first exceeded."""
    reached = np.maximum.accumulate(margin)
    at = np.minimum(np.searchsorted(reached, grid), len(excess) - 1)
    # A run that turned to its last tokens late has no margin before.
    return np.where(grid < margin[0], np.nan, np.maximum(excess[at], FLOOR))

"""Figures with a panel for each run: what one picture of several runs would draw over each other."""

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.spectrum import singular_values
from marginflow.diagnostics.subject import Subject
from marginflow.figures.run import Run
from marginflow.figures.style import log_plot, log_scales
from marginflow.problem.problem import Problem
from marginflow.report.columns import leads


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


NARROWEST: Final = 2.4
"""Inches of a panel, where the figure is as wide."""

_WORDS_FROM: Final = 3
"""Letters that must fit into a cell for its word to be written there."""


def rows_and_columns(count: int, width: float) -> tuple[int, int]:
    """How `count` panels stand in a figure of `width` inches."""
    columns = max(1, min(count, int(width / NARROWEST)))
    return math.ceil(count / columns), columns


def _panels(figure: "Figure", runs: list[Run], *, sharey: bool = False) -> "list[Axes]":
    rows, columns = rows_and_columns(len(runs), figure.get_figwidth())
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=sharey, sharey=sharey)).ravel()
    for axes in grid[len(runs) :]:
        axes.remove()
    for axes, run in zip(grid, runs, strict=False):
        axes.set_title(run.title)
    return list(grid[: len(runs)])


def spectrum(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Singular values over the margin; solid on the SVM's support, dashed off it."""
    for axes, run in zip(_panels(figure, runs), runs, strict=True):
        own = subject.solution(run.path.norm)
        rank = None if own is None else own.rank
        good = np.flatnonzero(run.path.margin > 0)
        s = np.array([singular_values(run.path.at(int(i)).separating) for i in good])
        s /= run.path.margin[good][:, None]
        for j in range(s.shape[1]):
            on = rank is None or j < rank
            line: dict[str, Any] = {"linestyle": "-", "linewidth": 1.3} if on else {"linestyle": "--", "linewidth": 0.7}
            log_plot(axes, run.path.margin[good], s[:, j], color=run.look["color"], **line)
        log_scales(axes, "x", "y")
        kept = "" if rank is None else f" (solid: the {rank} of the SVM)"
        axes.set_xlabel(f"least margin{kept}")
        axes.set_ylabel("singular value / margin")


def attention(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Attention of every sample at the last snapshot; a ring marks the optimal token, hatches absent ones."""
    problem = subject.problem
    shown = None
    grid = _panels(figure, runs)
    for axes, run in zip(grid, runs, strict=True):
        weights = _attention(run)
        shown = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        _hatch(axes, problem)
        words = _words(axes, problem, weights)
        _mark(axes, subject, weights, framed=words)
        axes.xaxis.set_major_locator(_whole())
        axes.yaxis.set_major_locator(_whole())
        marked = "in the face" if subject.goal.keeps_faces else "optimal"
        axes.set_xlabel(f"token (framed: {marked})" if words else f"token (ring: {marked})")
        axes.set_ylabel("sample")
        axes.spines[:].set_visible(True)
    if shown is not None:
        figure.colorbar(shown, ax=grid, label="attention")


def _attention(run: Run) -> Floats:
    """(n, T) softmax weights at the last snapshot, 0 where no token exists."""
    mask = run.path.problem.mask
    gaps = np.where(mask, leads(run.path, len(run.path.log_time) - 1), np.inf)
    weights = np.exp(gaps.min(axis=1, keepdims=True) - gaps)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _hatch(axes: "Axes", problem: Problem) -> None:
    """A token that does not exist is no token of attention 0."""
    from matplotlib.patches import Rectangle

    for i, token in np.argwhere(~problem.mask):
        cell = Rectangle((token - 0.5, i - 0.5), 1, 1, facecolor="white", edgecolor="0.7", hatch="////", linewidth=0.0)
        axes.add_patch(cell)


def _mark(axes: "Axes", subject: Subject, weights: Floats, *, framed: bool) -> None:
    """A ring on each token that keeps a share at the least loss, or a frame where a word stands there."""
    from matplotlib.patches import Rectangle

    for i, token in np.argwhere(subject.goal.members):
        dark = weights[i, token] > 0.5
        if framed:
            look: dict[str, Any] = {"facecolor": "none", "edgecolor": "white" if dark else "0.15", "linewidth": 0.9}
            axes.add_patch(Rectangle((token - 0.44, i - 0.42), 0.88, 0.84, **look))
        else:
            axes.plot(token, i, "o", mfc="none", mec="white" if dark else "0.15", mew=0.9, ms=0.5 * _font_size())


def _words(axes: "Axes", problem: Problem, weights: Floats) -> bool:
    """Write the tokens' names into their cells, smaller or cut to fit; whether they are written."""
    if problem.token_names is None:
        return False
    room = _cell(axes, problem) / 0.6
    largest, least = 0.75 * _font_size(), 0.5 * _font_size()
    fit = int(room / least)
    if fit < _WORDS_FROM:
        return False
    for i, token in np.argwhere(problem.mask):
        name = str(problem.token_names[i, token])
        word = name if len(name) <= fit else f"{name[: fit - 1]}…"
        size = min(largest, room / max(len(word), 1))
        look: dict[str, Any] = {
            "fontsize": size,
            "color": "white" if weights[i, token] > 0.5 else "0.1",
            "clip_on": True,
        }
        axes.text(token, i, word.replace("$", r"\$"), ha="center", va="center", **look)
    return True


def _cell(axes: "Axes", problem: Problem) -> float:
    """About how many points wide a cell is: labels and a bar of colours take two fifths."""
    figure = axes.figure
    columns = axes.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]
    return 0.6 * 72.0 * float(figure.get_figwidth()) / columns / problem.T  # type: ignore[union-attr]


def _font_size() -> float:
    import matplotlib

    return float(matplotlib.rcParams["font.size"])


def support(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Share of the force against margin at the last snapshot, with the SVM's multipliers hollow."""
    c = subject.constraints.restrict(~subject.constraints.equal)
    led = ~subject.constraints.equal
    for axes, run in zip(_panels(figure, runs), runs, strict=True):
        path = run.path
        margins = leads(path, len(path.log_time) - 1)[c.sample, c.token]
        dual = path.dual(-1)[led]
        style = {"color": run.look["color"], "marker": run.look["marker"], "linestyle": "none"}
        axes.plot(margins / margins.min(), dual / dual.sum(), alpha=0.7, **style)
        own = subject.solution(path.norm)
        if own is not None:
            theirs = own.dual[led]
            axes.plot(c.margins(own.W), theirs / theirs.sum(), mfc="none", mec="0.2", mew=0.6, ms=6, **style)
        # Margins far above the least are many and say nothing; rounding differences are not worth an axis.
        axes.set_xlim(0.9, 3.0)
        top = max(float(line.get_ydata().max()) for line in axes.lines)  # type: ignore[union-attr]
        axes.set_ylim(-0.06 * top, 1.08 * top)
        axes.ticklabel_format(useOffset=False)
        axes.set_xlabel("margin / least margin (to 3)")
        axes.set_ylabel("share of the force (hollow: SVM)")


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)

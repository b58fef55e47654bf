"""Pictures of the ends (need matplotlib): basins on the plane of starts, shares by the scale of the start."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.attractors import Attractor, Attractors
from marginflow.attractors.product import EndsOfHeads, JointEnd
from marginflow.errors import InputError
from marginflow.figures.style import LEGEND, drawing


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_T = TypeVar("_T")


def draw_shares(found: Attractors | EndsOfHeads, path: str | os.PathLike[str]) -> None:
    """Stacked bars, one per start scale: the share of runs in each end, and of those in none of them.

    Raises:
        InputError: no runs were sampled, matplotlib is missing, or the file type is unknown.
    """
    if not found.scales:
        raise InputError("picture of shares: got no sampled runs; give sample=N (--sample N) and scales")
    with drawing(path, 6.4, 3.4, grown=True) as figure:
        _shares(figure, found)


def _shares(figure: "Figure", found: Attractors | EndsOfHeads) -> None:
    axes = figure.subplots()
    place = np.arange(len(found.scales))
    base = np.zeros(len(found.scales))
    every: Sequence[Attractor | JointEnd] = found.attractors
    met = sorted((a for a in every if a.share), key=lambda a: (not a.optimal, -(a.share or 0.0)))
    named, rest = _few(met)
    for k, end in enumerate(named):
        share = np.array([s.value for s in end.shares])
        colour, hatch = _look(end, k)
        axes.bar(place, share, 0.62, base, color=colour, hatch=hatch, edgecolor="white", label=_name(found, end))
        base += share
    if rest:
        share = np.array([[s.value for s in end.shares] for end in rest]).sum(axis=0)
        axes.bar(place, share, 0.62, base, color="0.8", edgecolor="white", label=f"{len(rest)} other ends")
        base += share
    if np.any(base < 1.0 - 1e-12):
        axes.bar(place, 1.0 - base, 0.62, base, color="white", edgecolor="0.35", label="not in an attractor")
    best = next((a for a in every if a.optimal), None)
    if best is not None:
        low, high = np.array([s.interval for s in best.shares]).T
        centre = np.array([s.value for s in best.shares])
        axes.errorbar(place, centre, [centre - low, high - centre], fmt="none", ecolor="black", capsize=4)
    axes.set_xticks(place, [f"{s:g}" for s in found.scales])
    axes.set_xlabel("standard deviation of the start")
    axes.set_ylabel("share of runs")
    axes.set_ylim(0.0, 1.0)
    total = sum(s.total for s in every[0].shares) // len(found.scales) if every else 0
    listed = found.count if isinstance(found, EndsOfHeads) else len(every)
    axes.set_title(
        f"{found.problem.name}, {found.parameterization.word}: {listed} ends listed, {len(met)} met, {total} runs each",
        fontsize=9,
    )
    _beside(axes)


def draw_basins(
    found: Attractors | EndsOfHeads,
    path: str | os.PathLike[str],
    *,
    reach: float = 6.0,
    points: int = 41,
    until_margin: float = 1e4,
) -> None:
    """The end of every start on a square grid, for a model with two weights, and the direction of every end.

    Args:
        found: the ends; the model is w with d d_z = 2 or diag with d = 2.
        path: an .svg, .png or .pdf file.
        reach: the grid covers [-reach, reach] in both weights.
        points: starts along each side.
        until_margin: where the tokens of a run are read.

    Raises:
        InputError: another number of weights, matplotlib is missing, or the file type is unknown.
    """
    from marginflow.flow.integrate import integrate_many

    problem, model = found.problem, found.parameterization
    if isinstance(found, EndsOfHeads):
        raise InputError("picture of basins: got several heads; expected one: give attractors(problem.of_head(h), ...)")
    shapes = list(model.shapes(problem.d, problem.d_z).values())
    if len(shapes) != 1 or int(np.prod(shapes[0])) != 2:
        raise InputError(
            f"picture of basins: got weights of shapes {shapes}; expected one array of two numbers "
            "(w with d = 2 and d_z = 1, or diag with d = 2)"
        )
    ticks = np.linspace(-reach, reach, points)
    starts = np.array(np.meshgrid(ticks, ticks)).reshape(2, -1).T
    paths = integrate_many(
        problem,
        model,
        inits=[(start.reshape(shapes[0]),) for start in starts],
        until_margin=until_margin,
    )
    index = np.full(len(paths), -1)
    for i, run in enumerate(paths):
        end = found.find(run.selected(-1))
        if end is not None:
            index[i] = found.attractors.index(end)
    with drawing(path, 6.2, 4.2, grown=True) as figure:
        _basins(figure, found, starts, index, reach)


def _basins(figure: "Figure", found: Attractors, starts: Floats, index: Ints, reach: float) -> None:
    problem, model = found.problem, found.parameterization
    axes = figure.subplots()
    points = int(np.sqrt(len(starts)))
    half = reach / (points - 1)
    sides = (-reach - half, reach + half)
    axes.imshow(_pixels(found, index.reshape(points, points)), origin="lower", extent=(*sides, *sides))
    here = [(k, end, float((index == k).mean())) for k, end in enumerate(found.attractors)]
    for k, end, _ in here:
        assert end.decision.solution is not None
        W = end.decision.solution.beta if model.diagonal else end.decision.solution.W.ravel()
        tip = 0.9 * reach * W / np.abs(W).max()
        arrow = {"arrowstyle": "-|>", "color": _look(end, k)[0], "linewidth": 2.2}
        axes.annotate("", tip, (0.0, 0.0), arrowprops=arrow)
    named, rest = _few(sorted(here, key=lambda item: (not item[1].optimal, -item[2])))
    for k, end, share in named:
        axes.plot([], [], "s", color=_look(end, k)[0], label=f"{_name(found, end)}\n{share:.0%} of this square")
    if rest:
        share = sum(share for _, _, share in rest)
        axes.plot([], [], "s", color="white", label=f"{len(rest)} other ends\n{share:.0%} of this square")
    if np.any(index < 0):
        axes.plot([], [], "s", color="0.85", label="in no attractor")
    axes.plot(0.0, 0.0, "o", color="black", markersize=4)
    axes.set_xlabel("first weight of the start")
    axes.set_ylabel("second weight of the start")
    axes.set_title(f"{problem.name}, {model.word}: arrows are the SVM directions of the ends", fontsize=9)
    _beside(axes)


def _few(items: list[_T]) -> tuple[list[_T], list[_T]]:
    """The items that a legend names, and those that it only counts: never a single one of those."""
    return (items, []) if len(items) <= LEGEND else (items[: LEGEND - 1], items[LEGEND - 1 :])


def _beside(axes: "Axes") -> None:
    """The legend at the right of the axes, from their top down, where it covers neither them nor the title."""
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, frameon=False)


def _pixels(found: Attractors, index: Ints) -> Floats:
    """One pale colour per start, grey where it met no attractor."""
    from matplotlib.colors import to_rgb

    shades = np.array([to_rgb(_look(end, k)[0]) for k, end in enumerate(found.attractors)] + [to_rgb("0.7")])
    return np.asarray(1.0 - 0.55 * (1.0 - shades[index]))


def _name(found: Attractors | EndsOfHeads, end: Attractor | JointEnd) -> str:
    """What sets the end apart: the samples that miss their optimal token."""
    if end.optimal:
        return "minimal loss"
    wrong = np.flatnonzero(end.selected != found.problem.optimal)
    missed = ", ".join(f"sample {i} on token {end.selected[i]}" for i in wrong[:2])
    more = f"\nand {len(wrong) - 2} more" if len(wrong) > 2 else ""
    return f"{missed}{more}\n(excess {end.excess:.3g})"


def _look(end: Attractor | JointEnd, k: int) -> tuple[str, str]:
    """Colours of the Okabe-Ito palette, which do not rely on red against green; then hatches."""
    if end.optimal:
        return _BEST, ""
    others = k if k else 1
    return _COLOURS[(others - 1) % len(_COLOURS)], _HATCHES[(others - 1) // len(_COLOURS) % len(_HATCHES)]


_BEST: Final = "#009E73"
_COLOURS: Final = ("#E69F00", "#56B4E9", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
_HATCHES: Final = ("", "//", "..", "xx")

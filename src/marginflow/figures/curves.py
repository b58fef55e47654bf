"""Figures of curves: every run on the same axes, readable without colour."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.subject import Subject
from marginflow.figures.legend import legend
from marginflow.figures.run import Run
from marginflow.figures.style import log_plot, log_scales, room_for_ends
from marginflow.norms import parse_norm


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def time(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Excess against log10 t, with the predicted law in grey; against steps, where none has a time."""
    axes = figure.subplots()
    timed = any(run.path.method.is_flow for run in runs)
    for run in runs:
        t = run["log10_time"] if timed else run.path.iteration.astype(np.float64)
        if run.law is not None:
            axes.plot(t, run["law"], color="0.75", linewidth=4, solid_capstyle="round")
        axes.plot(t, run["log10_excess"], **run.line)
    if timed:
        _stretch(axes, "x", [run["log10_time"] for run in runs])
    _stretch(axes, "y", [run["log10_excess"] for run in runs])
    axes.set_xlabel("$\\log_{10} t$" if timed else "steps")
    axes.set_ylabel("$\\log_{10}(L - L^*)$")
    legend(figure, runs, law=any(run.law for run in runs))


def norms(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Each norm over the margin, with the certified SVM values as lines."""
    names = list(subject.solutions)
    grid = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, norm in zip(grid, names, strict=True):
        ends = []
        for run in runs:
            log_plot(axes, run["margin"], run[f"norm_{norm}"], **run.line)
            ends += [run[f"norm_{norm}"][-1]]
        found = subject.solution(norm)
        if found is not None:
            axes.axhline(found.certificate.upper, color="0.2", linewidth=0.8, zorder=0)
            ends.append(found.certificate.upper)
        room_for_ends(axes, ends)
        log_scales(axes, "x")
        axes.set_ylabel(f"{parse_norm(norm).label} / margin")
    grid[-1].set_xlabel("least margin (solid line: certified SVM value)")
    legend(figure, runs)


def ratio(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """R - 1 in each run's own norm against the margin, with the predicted power in grey."""
    axes = figure.subplots()
    for run in runs:
        margin, gap = run["margin"], run[f"gap_{run.path.norm}"]
        good = (margin > 0) & (gap > 0)
        # Where R - 1 is rounding it follows no law.
        sound = good & (gap > 1e-11)
        if run.law is not None and run.law.power is not None and sound.any():
            m, g = margin[sound][-1], gap[sound][-1]
            start = max(1.0, m * 1e-4)
            axes.plot([start, m], [g * (start / m) ** -run.law.power, g], color="0.75", linewidth=4)
        log_plot(axes, margin, gap, where=good, **run.line)
    log_scales(axes, "x", "y")
    axes.set_xlabel("least margin")
    axes.set_ylabel("$R - 1$ in the run's own norm")
    legend(figure, runs, law=any(run.law and run.law.power for run in runs))


def balance(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """The approximate KKT residuals epsilon (upper) and delta (lower) against the margin."""
    grid = figure.subplots(2, 1, sharex=True)
    for axes, name, label in zip(grid, ("epsilon", "delta"), ("$\\epsilon$", "$\\delta$"), strict=True):
        for run in runs:
            log_plot(axes, run["margin"], run[name], where=run[name] > 1e-17, **run.line)
        log_scales(axes, "x", "y")
        axes.set_ylabel(label)
    grid[-1].set_xlabel("least margin")
    legend(figure, runs)


def _stretch(axes: "Axes", which: str, values: Sequence[Floats]) -> None:
    """Logarithmic far from 0 and linear near it: log10 t runs from below 0 to beyond 1e5."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    flat = np.concatenate(values)
    low, high = float(flat[np.isfinite(flat)].min()), float(flat[np.isfinite(flat)].max())
    axes.set(**{f"{which}scale": "asinh"})
    axes.set(**{f"{which}lim": tuple(np.sinh(np.arcsinh([low, high]) + np.array([-0.3, 0.3])))})
    largest = max(int(np.log10(max(abs(low), abs(high), 1.0))), 1)
    steps = [10.0**k for k in range(1, largest + 1, 1 if largest < 5 else 2)]
    ticks = [-v for v in reversed(steps) if -v >= low] + [0.0] + [v for v in steps if v <= high]
    axis.set_ticks(ticks, labels=[_power(tick) for tick in ticks])
    axis.set_minor_locator(_no_ticks())


def _power(tick: float) -> str:
    if tick == 0:
        return "0"
    k = round(np.log10(abs(tick)))
    sign = "-" if tick < 0 else ""
    return f"${sign}10$" if k == 1 else f"${sign}10^{{{k}}}$"


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()

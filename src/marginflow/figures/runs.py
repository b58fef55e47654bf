"""Figures for papers: one column wide, vector, fonts embedded, readable without colour."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.late_law import late_law
from marginflow.diagnostics.spectrum import singular_values
from marginflow.errors import InputError
from marginflow.figures.style import WIDTH, drawing, label_of, log_plot, log_scales, look_of
from marginflow.norms import parse_norm
from marginflow.report.columns import columns_of, leads
from marginflow.report.subject import Subject, gather
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.trajectory import Trajectory


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Run:
    """One run with the columns that a figure draws."""

    def __init__(self, path: Trajectory, subject: Subject) -> None:
        self.path = path
        self.look = look_of(path.parameterization)
        self.law = late_law(path, subject.solution(path.norm))
        self.columns = columns_of(path, subject, self.law, np.arange(len(path.log_time)))
        self.line = {key: self.look[key] for key in ("color", "linestyle")}

    @property
    def name(self) -> str:
        """Its parameterisation, and that it was interrupted: runs of one name share an entry of the legend."""
        return label_of(self.path.parameterization) + (", interrupted" if self.path.ended is Ended.interrupted else "")

    def __getitem__(self, name: str) -> Floats:
        found = self.columns.get(name)
        return np.full(len(self.path.log_time), np.nan) if found is None else found


def time(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Excess against log10 t, with the predicted law in grey."""
    axes = figure.subplots()
    for run in runs:
        t = run["log10_time"]
        if run.law is not None:
            axes.plot(t, run["law"], color="0.75", linewidth=4, solid_capstyle="round")
        axes.plot(t, run["log10_excess"], **run.line)
    _stretch(axes, "x", [run["log10_time"] for run in runs])
    _stretch(axes, "y", [run["log10_excess"] for run in runs])
    axes.set_xlabel("$\\log_{10} t$")
    axes.set_ylabel("$\\log_{10}(L - L^*)$")
    _legend(axes, runs, law=any(run.law for run in runs))


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
        finite = [value for value in ends if np.isfinite(value)]
        if finite:
            room = max(max(finite) - min(finite), 0.15 * max(finite))
            axes.set_ylim(min(finite) - 0.15 * room, max(finite) + 0.5 * room)
        log_scales(axes, "x")
        axes.set_ylabel(f"{parse_norm(norm).label} / margin")
    grid[-1].set_xlabel("least margin (solid line: certified SVM value)")
    _legend(grid[0], runs)


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
    _legend(axes, runs, law=any(run.law and run.law.power for run in runs))


def spectrum(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Singular values over the margin; solid on the SVM's support, dashed off it."""
    run = runs[0]
    own = subject.solution(run.path.norm)
    rank = None if own is None else own.rank
    axes = figure.subplots()
    good = np.flatnonzero(run.path.margin > 0)
    s = np.array([singular_values(run.path.W(int(i))) for i in good])
    s /= run.path.margin[good][:, None]
    for j in range(s.shape[1]):
        on = rank is None or j < rank
        line: dict[str, Any] = {"linestyle": "-", "linewidth": 1.3} if on else {"linestyle": "--", "linewidth": 0.7}
        log_plot(axes, run.path.margin[good], s[:, j], color=run.look["color"], **line)
    log_scales(axes, "x", "y")
    axes.set_xlabel("least margin")
    axes.set_ylabel("singular value / margin")
    axes.set_title(f"{run.name}: solid, support of the SVM; dashed, the rest", fontsize=7)


def attention(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Attention of every sample at the last snapshot; a ring marks the optimal token."""
    path, problem = runs[0].path, subject.problem
    gaps = np.where(problem.mask, leads(path, len(path.log_time) - 1), np.inf)
    weights = np.exp(gaps.min(axis=1, keepdims=True) - gaps)
    weights /= weights.sum(axis=1, keepdims=True)
    axes = figure.subplots()
    shown = axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    chosen = weights[np.arange(problem.n), problem.optimal] > 0.5
    for ring, where in (("white", chosen), ("0.15", ~chosen)):
        axes.plot(problem.optimal[where], np.flatnonzero(where), "o", mfc="none", mec=ring, mew=0.9, ms=4)
    axes.xaxis.set_major_locator(_whole())
    axes.yaxis.set_major_locator(_whole())
    axes.set_xlabel("token (ring: optimal)")
    axes.set_ylabel("sample")
    axes.spines[:].set_visible(True)
    figure.colorbar(shown, ax=axes, label=f"attention ({runs[0].name})")


def support(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Share of the force against margin at the last snapshot, with the SVM's multipliers hollow."""
    axes = figure.subplots()
    c = subject.constraints
    for run in runs:
        path = run.path
        margins = leads(path, len(path.log_time) - 1)[c.sample, c.token]
        dual = path.dual(-1)
        style = {"color": run.look["color"], "marker": run.look["marker"], "linestyle": "none"}
        axes.plot(margins / margins.min(), dual / dual.sum(), alpha=0.7, **style)
        own = subject.solution(path.norm)
        if own is not None:
            axes.plot(c.margins(own.W), own.dual / own.dual.sum(), mfc="none", mec="0.2", mew=0.6, ms=6, **style)
    # Margins far above the least are many and say nothing; rounding differences are not worth an axis.
    axes.set_xlim(0.9, 3.0)
    top = max(float(line.get_ydata().max()) for line in axes.lines)  # type: ignore[union-attr]
    axes.set_ylim(-0.06 * top, 1.08 * top)
    axes.ticklabel_format(useOffset=False)
    axes.set_xlabel("constraint margin / least margin (to 3)")
    axes.set_ylabel("share of the force (hollow: SVM)")
    _legend(axes, runs, marker=True)


def balance(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """The approximate KKT residuals epsilon (upper) and delta (lower) against the margin."""
    grid = figure.subplots(2, 1, sharex=True)
    for axes, name, label in zip(grid, ("epsilon", "delta"), ("$\\epsilon$", "$\\delta$"), strict=True):
        for run in runs:
            log_plot(axes, run["margin"], run[name], where=run[name] > 1e-17, **run.line)
        log_scales(axes, "x", "y")
        axes.set_ylabel(label)
    grid[-1].set_xlabel("least margin")
    _legend(grid[0], runs)


KINDS: Final[dict[str, Callable[..., None]]] = {
    "time": time,
    "norms": norms,
    "ratio": ratio,
    "spectrum": spectrum,
    "attention": attention,
    "support": support,
    "balance": balance,
}
"""Every figure by its name; a new one is one function and one line here."""

HEIGHTS: Final = {"norms": 1.5, "attention": 3.2, "balance": 3.2}
"""Inches; for `norms` of each panel."""


def save_figure(paths: Sequence[Trajectory], kind: str, output: Path) -> None:
    """Draw figure `kind` of runs on one problem and write it; the suffix chooses pdf, svg or png.

    Raises:
        InputError: an unknown kind or suffix, runs on different problems, a run that the figure cannot show,
            or no matplotlib.
    """
    if kind not in KINDS:
        raise InputError(f"--kind: got {kind!r}; expected one of {', '.join(KINDS)}")
    panels = len({path.parameterization.diagonal for path in paths}) * 2 if kind == "norms" else 1
    with drawing(output, WIDTH, HEIGHTS.get(kind, 2.4) * panels) as figure:
        subjects = gather(paths, lambda text: None)
        if len(subjects) != 1:
            raise InputError(f"figure: got runs on {len(subjects)} problems; expected runs on one")
        subject = subjects[0]
        _refuse_unsuitable(subject, kind)
        KINDS[kind](figure, subject, [Run(path, subject) for path in subject.paths])


def _refuse_unsuitable(subject: Subject, kind: str) -> None:
    """One line instead of an empty figure: runs that never separate, or whose numbers are not finite."""
    broken = [path for path in subject.paths if not _drawable(path)]
    if broken:
        raise InputError(
            f"figure: got {len(broken)} runs ({broken[0].parameterization.label} among them) that end with a time "
            "or weights that are not finite; leave them out, and see `marginflow report` for what they say"
        )
    if kind in ("time", "attention"):
        return
    wrong = [path for path in subject.paths if not path.margin[-1] > 0]
    if wrong:
        raise InputError(
            f"figure {kind}: got {len(wrong)} runs ({wrong[0].parameterization.label} among them) that end with a "
            "margin at or below 0, which nothing can be divided by; leave them out, or draw --kind time or attention"
        )


def _drawable(path: Trajectory) -> bool:
    numbers = [path.log_time[-1:], path.log_excess[-1:], path.margin[-1:], path.W(-1), path.dual(-1)]
    return all(bool(np.isfinite(x).all()) for x in numbers)


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


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True)


def _legend(axes: "Axes", runs: list[Run], *, law: bool = False, marker: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name, look in {run.name: run.look for run in runs}.items():
        style = look | ({"linestyle": "none"} if marker else {"marker": None})
        handles.append(Line2D([], [], label=name, **style))
    if law:
        handles.append(Line2D([], [], color="0.75", linewidth=4, label="predicted"))
    axes.legend(handles=handles)

"""Several heads: a panel for each head and norm, with the certified line of that head alone."""

from typing import TYPE_CHECKING

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.subject import Subject
from marginflow.figures.legend import legend
from marginflow.figures.run import Run
from marginflow.figures.style import log_plot, log_scales, room_for_ends
from marginflow.norms import parse_norm
from marginflow.report.heads import MOST


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels_of_heads(runs: list[Run]) -> list[tuple[str, int]]:
    """(norm, head) of each panel: the norms that the runs minimise, the heads that are told of."""
    norms = dict.fromkeys(run.path.norm for run in runs)
    return [(norm, h) for norm in norms for h in range(min(runs[0].path.problem.counts[1], MOST))]


def heads(figure: "Figure", subject: Subject, runs: list[Run]) -> None:
    """Every head's norm over its own least margin, beside the certified value of its own SVM."""
    asked = panels_of_heads(runs)
    grid = np.atleast_1d(figure.subplots(len(asked), 1))
    for axes, (norm, h) in zip(grid, asked, strict=True):
        ends = []
        for run in runs:
            margin, values = _of_head(run, norm, h)
            log_plot(axes, margin, values, **run.line)
            ends.append(float(values[-1]))
        found = subject.solution(norm)
        if found is not None:
            ends.append((found.parts or (found,))[h].certificate.upper)
            axes.axhline(ends[-1], color="0.2", linewidth=0.8, zorder=0)
        room_for_ends(axes, ends)
        log_scales(axes, "x")
        axes.set_ylabel(f"{parse_norm(norm).label} / margin")
        axes.set_xlabel(f"least margin of head {h} (solid: certified)")
    legend(figure, runs)


def _of_head(run: Run, norm: str, h: int) -> tuple[Floats, Floats]:
    """(S,) the least margin of a head and its norm over it: of one head those of the run."""
    if run.path.problem.counts[1] == 1:
        return run["margin"], run[f"norm_{norm}"]
    return run[f"head{h}_margin"], run[f"head{h}_{norm}"]

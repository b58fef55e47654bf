"""The numbers of a run that other programs want, one row per snapshot."""

import math
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import Comparison, comparison, pulls, ratio
from marginflow.frames import data_frame
from marginflow.norms import parse_norm
from marginflow.trajectory.trajectory import Trajectory


def series(path: Trajectory) -> dict[str, Floats]:
    """Columns (S,): log_time or iteration, margin, log_excess, nuclear, frobenius, ratio.

    `log_time` of what has a time, -inf at the start, `iteration` of what has not; `nuclear` and `frobenius` are norms
    of W itself; `ratio` is R in `path.norm` for the tokens or faces that the end of the run is compared with (of a
    trapped run its own), nan where it would be no bound.
    """
    seen = comparison(path)
    timed = not np.isnan(path.log_time[-1])
    nuclear, frobenius = parse_norm("nuclear"), parse_norm("frobenius")
    W = [path.W(i) for i in range(len(path))]
    return {
        **({"log_time": path.log_time} if timed else {"iteration": path.iteration.astype(np.float64)}),
        "margin": path.margin,
        "log_excess": path.log_excess,
        "nuclear": np.array([_norm(nuclear, one) for one in W]),
        "frobenius": np.array([_norm(frobenius, one) for one in W]),
        "ratio": np.array([_ratio(path, i, seen) for i in range(len(path))]),
    }


def frame(path: Trajectory) -> Any:
    """`series` as a data frame, with both log_time and iteration."""
    found = series(path)
    first = {"log_time": path.log_time, "iteration": path.iteration}
    return data_frame(first | {name: column for name, column in found.items() if name not in first})


def _norm(norm: Any, W: Floats) -> float:
    return float(norm.value(W)) if np.isfinite(W).all() else math.nan


def _ratio(path: Trajectory, i: int, end: Comparison) -> float:
    return ratio(end.growing(path.W(i)), pulls(path.at(i).f, end.constraints), end.constraints, path.norm)

"""One run as a figure draws it."""

from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.late_law import late_law
from marginflow.diagnostics.subject import Subject
from marginflow.figures.style import label_of, look_of
from marginflow.report.columns import columns_of
from marginflow.report.wording import how
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.trajectory import Trajectory


class Run:
    """One run with the columns that a figure draws."""

    def __init__(self, path: Trajectory, subject: Subject) -> None:
        self.path = path
        self.look = dict(look_of(path.parameterization))
        self.law = late_law(path, subject.solution(path.norm))
        self.columns = columns_of(path, subject, self.law, np.arange(len(path.log_time)))

    @property
    def line(self) -> dict[str, Any]:
        """Its colour and its line."""
        return {key: self.look[key] for key in ("color", "linestyle")}

    @property
    def name(self) -> str:
        """Its parameterisation, what made it if not the flow, and that it was interrupted: one entry of the legend."""
        cut = ", interrupted" if self.path.ended is Ended.interrupted else ""
        return label_of(self.path.parameterization) + how(self.path) + cut

    @property
    def title(self) -> str:
        """The name and the start, above a panel of its own."""
        return f"{self.name}, seed {self.path.seed}" if self.path.seed >= 0 else f"{self.name}, given start"

    def __getitem__(self, name: str) -> Floats:
        found = self.columns.get(name)
        return np.full(len(self.path.log_time), np.nan) if found is None else found


def told_apart(runs: list[Run]) -> list[Run]:
    """The runs, those of one parameterisation and different methods with lines of their own."""
    methods: dict[str, dict[str, int]] = {}
    for run in runs:
        known = methods.setdefault(run.path.parameterization.word, {})
        k = known.setdefault(run.name, len(known))
        if k:
            run.look["linestyle"] = _LINES[(k - 1) % len(_LINES)]
            run.look["marker"] = _MARKERS[(k - 1) % len(_MARKERS)]
    return runs


_LINES = ((0, (1, 1)), (0, (6, 2, 1, 2)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
_MARKERS = ("v", "P", "X", "*")

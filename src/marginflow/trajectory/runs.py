"""Several runs as one result that shows itself."""

from collections.abc import Sequence
from typing import Any, Final

from marginflow.frames import data_frame
from marginflow.notebook import grid, number
from marginflow.trajectory.trajectory import Trajectory
from marginflow.views import view


_SHOWN: Final = 20
"""Runs that are shown one by one; all are counted."""


class Runs(list[Trajectory]):
    """A list of runs, in the order in which they were asked for, with a table of where each ended."""

    @property
    def counts(self) -> dict[str, int]:
        """How many runs have each verdict."""
        said = [path.status.name for path in self]
        return {word: said.count(word) for word in ("minimal_loss", "trapped", "undecided")}

    @property
    def sentence(self) -> str:
        """The counts in words."""
        parts = [f"{count} {word.replace('_', ' ')}" for word, count in self.counts.items() if count]
        return f"{len(self)} runs: {', '.join(parts) or 'none'}"

    def to_dataframe(self) -> Any:
        """A row per run, at its last snapshot.

        Raises:
            InputError: neither pandas nor polars is installed.
        """
        return data_frame(
            {
                "problem": [path.problem.name for path in self],
                "parameterization": [path.parameterization.word for path in self],
                "method": [path.method.label for path in self],
                "seed": [path.seed for path in self],
                "status": [path.status.name for path in self],
                "margin": [float(path.margin[-1]) for path in self],
                "log_excess": [float(path.log_excess[-1]) for path in self],
                "log_time": [float(path.log_time[-1]) for path in self],
                "steps": [path.steps for path in self],
            }
        )

    def compare(self) -> Any:
        """Each run beside the certified SVMs: `marginflow.compare`."""
        return view("compare")(self)

    def plot(self, kind: str = "norms", **options: Any) -> Any:
        """Figure `kind` of these runs, which a notebook shows: `marginflow.figures.picture.plot` says what it takes."""
        return view("plot")(self, kind, **options)

    def __repr__(self) -> str:
        lines = [self.sentence, *(f"  {path!r}" for path in self[:_SHOWN])]
        return "\n".join(lines + ([f"  ... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []))

    def _repr_html_(self) -> str:
        rows = [_row(path) for path in self[:_SHOWN]]
        more = [f"... and {len(self) - _SHOWN} more: to_dataframe()"] if len(self) > _SHOWN else []
        head = ["run", "problem", "verdict", "least margin", "log10 (L - L*)"]
        return grid(self.sentence, head, rows, notes=more)


def _row(path: Trajectory) -> Sequence[str]:
    start = f"seed {path.seed}" if path.seed >= 0 else "given start"
    made = "" if path.method.is_flow else f", {path.method.label}"
    return (
        f"{path.parameterization.label}{made}, {start}",
        path.problem.name or "unnamed",
        path.status.name.replace("_", " "),
        number(path.margin[-1]),
        number(path.log_excess[-1] / 2.302585092994046),
    )

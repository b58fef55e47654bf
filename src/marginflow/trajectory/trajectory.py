"""The result of a flow: where it went, at which times, and what its end means."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from marginflow.arrays import Floats, Ints, frozen
from marginflow.model.force import Loss, log_excess
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization
from marginflow.notebook import card, number
from marginflow.problem.problem import Problem
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus as FlowStatus, Verdict as Verdict


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One run of a gradient flow; `i` counts its snapshots, -1 is the last.

    Attributes:
        problem, parameterization, loss: what was run.
        seed, scale: of the start drawn; `seed` is -1 for a given start.
        rtol: the relative accuracy asked for.
        snapshots: the states kept.
        verdict: the status and what it rests on.
        ended: why the integration stopped: "margin", "verdict", "steps", "floor", "balanced", "stalled",
            "interrupted".
        until_margin: the margin at which the run was asked to stop; nan in a file saved before this was kept.
    """

    problem: Problem
    parameterization: AbstractParameterization
    loss: Loss
    seed: int
    scale: float
    rtol: float
    snapshots: Snapshots
    verdict: Verdict
    ended: str = field(default="margin")
    until_margin: float = np.nan

    def __len__(self) -> int:
        return len(self.snapshots)

    def __repr__(self) -> str:
        return (
            f"Trajectory({self.problem.name or self.problem}, {self.parameterization.word}: {self.status.name} at "
            f"margin {self.margin[-1]:.6g}, log t {self.log_time[-1]:.6g}; {len(self)} snapshots, {self.steps} steps)"
        )

    def _repr_html_(self) -> str:
        start = f"seed {self.seed}, scale {self.scale:g}" if self.seed >= 0 else "given"
        rows = [
            ("verdict", self.status.value),
            ("reason", self.reason),
            ("problem", repr(self.problem)),
            ("start", start),
            ("least margin", number(self.margin[-1])),
            ("log10 t", number(self.log_time[-1] / np.log(10.0))),
            ("log10 (L - L*)", number(self.log_excess[-1] / np.log(10.0))),
            *([("conserved drift", number(self.conserved_drift))] if self.parameterization.conserved else []),
            ("ended by", f"{self.ended}, {len(self)} snapshots, {self.steps} steps"),
        ]
        return card(f"Trajectory {self.parameterization.word}", rows)

    def to_dataframe(self) -> Any:
        """Log time, log excess, least margin and steps per snapshot as a pandas frame, or polars' where only that is.

        Raises:
            ImportError: neither pandas nor polars is installed.
        """
        columns = {
            "log_time": self.log_time,
            "log_excess": self.log_excess,
            "margin": self.margin,
            "steps": self.snapshots.steps,
        }
        for library in ("pandas", "polars"):
            if find_spec(library) is not None:
                return import_module(library).DataFrame(columns)
        raise ImportError("to_dataframe: got neither pandas nor polars; install one of them")

    @property
    def status(self) -> FlowStatus:
        """What can be said of the end of the flow."""
        return self.verdict.status

    @property
    def reason(self) -> str:
        """Why, in one sentence with numbers."""
        return self.verdict.reason

    @property
    def steps(self) -> int:
        """Steps tried."""
        return int(self.snapshots.steps[-1])

    @property
    def evaluations(self) -> int:
        """Forces evaluated."""
        return int(self.snapshots.evaluations[-1])

    @property
    def log_time(self) -> Floats:
        """(S,) log t, t the time of the gradient flow of the mean loss; -inf at the start."""
        return self.snapshots.log_time

    @property
    def conserved_drift(self) -> float:
        """The largest |C - C(0)| / |theta|^2 met, C the conserved quantity; the flow is never projected onto it."""
        return float(self.snapshots.drift[-1])

    @property
    def optimal(self) -> Ints:
        """(n,) the optimal tokens."""
        return self.problem.optimal

    @cached_property
    def margin(self) -> Floats:
        """(S,) the least margin of the optimal tokens over all others; negative where some sample is wrong."""
        s = self.snapshots
        rows = np.arange(self.problem.n)
        top = self.problem.optimal
        rows_high, rows_low = s.high[:, rows, top][..., None], s.low[:, rows, top][..., None]
        lead = (rows_high - s.high) + (rows_low - s.low)
        counts = np.zeros(self.problem.mask.shape, dtype=bool)
        constraints = self.problem.constraints()
        counts[constraints.sample, constraints.token] = True
        return frozen(np.where(counts, lead, np.inf).min(axis=(1, 2)))

    @cached_property
    def log_excess(self) -> Floats:
        """(S,) log(L - L*), from the carried logits (theory 3.3)."""
        problem, s = self.problem, self.snapshots
        logits = Logits(s.high, s.low)
        scores, optimal, mask = problem.scores[None], problem.optimal[None], problem.mask[None]
        return frozen(log_excess(logits, scores, optimal, mask, self.loss))

    @property
    def floor(self) -> float:
        """The absolute error that float64 leaves in exponents (log time, log excess) at the last snapshot."""
        high = np.where(self.problem.mask, self.snapshots.high[-1], 0.0)
        return float(np.finfo(float).eps * np.abs(high).max())

    def parameters(self, i: int = -1) -> dict[str, Floats]:
        """The trained arrays at snapshot `i`, by name: K (d, m), Q (d_z, m) | W | k, q (d,) | beta (d,)."""
        lift = self.parameterization.lift(self.problem.d, self.problem.d_z)
        return lift.unpack(self.snapshots.theta[i])

    def W(self, i: int = -1) -> Floats:
        """(d, d_z) the attention weights at snapshot `i`; the full matrix also for diagonal weights."""
        lift = self.parameterization.lift(self.problem.d, self.problem.d_z)
        weights = lift.weights(self.snapshots.theta[i][None])[0]
        return np.diag(weights) if weights.ndim == 1 else weights

    def selected(self, i: int = -1) -> Ints:
        """(n,) the token of largest logit of each sample at snapshot `i`."""
        s = self.snapshots
        return np.asarray((s.high[i] + s.low[i]).argmax(axis=1))

    def dual(self, i: int = -1) -> Floats:
        """(C,) >= 0, the pull of `problem.constraints()` at snapshot `i`: multipliers up to a positive factor."""
        c = self.problem.constraints()
        return np.maximum(-self.snapshots.f[i][c.sample, c.token], 0.0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an .npz file, atomically; `load` reads it back, to the same bits."""
        from marginflow.trajectory.files import save_trajectory

        save_trajectory(self, path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, parameterization: AbstractParameterization | None = None
    ) -> "Trajectory":
        """Read a saved run.

        Args:
            path: the file.
            parameterization: that of the run, where its class is not known by `register`.

        Raises:
            InputError: not a saved run, of a format that this version does not know, or of a parameterisation that
                is not registered.
        """
        from marginflow.trajectory.files import load_trajectory

        return load_trajectory(path, parameterization=parameterization)

"""The result of a flow: where it went, at which times, and what its end means."""

import math
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from marginflow.arrays import Floats, Ints, frozen
from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, AbstractOutputLoss
from marginflow.losses.abstract import scalar
from marginflow.model.face_limit import FaceLimit
from marginflow.model.face_limits import face_limit
from marginflow.model.goal import AbstractGoal, TokenGoal
from marginflow.model.heads import map_of
from marginflow.model.held_faces import LEADS, held_faces
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization, AbstractParameterMap
from marginflow.norms import parse_norm
from marginflow.notebook import card, number
from marginflow.problem.problem import Problem
from marginflow.trajectory.ended import Ended as Ended
from marginflow.trajectory.method import Method
from marginflow.trajectory.restart import Restart
from marginflow.trajectory.snapshot import Snapshot
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus as FlowStatus, Verdict as Verdict
from marginflow.views import view


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One run, whatever made it; `i` counts its snapshots, -1 is the last.

    Attributes:
        problem, parameterization, loss: what was run.
        method: how it was made, the norm predicted, and the command that repeats it.
        snapshots: the states kept.
        verdict: the status and what it rests on.
        ended: why the run stopped.
        restart: what the integrator needs to go on; None for runs that it did not make.
    """

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractOutputLoss
    method: Method
    snapshots: Snapshots
    verdict: Verdict
    ended: Ended = Ended.margin
    restart: Restart | None = None

    def __len__(self) -> int:
        return len(self.snapshots)

    def __repr__(self) -> str:
        when = "" if math.isnan(self.log_time[-1]) else f", log t {self.log_time[-1]:.6g}"
        made = "" if self.method.is_flow else f", {self.method.label}"
        return (
            f"Trajectory({self.problem.name or self.problem}, {self.parameterization.word}{made}: {self.status.name} "
            f"at margin {self.margin[-1]:.6g}{when}; {len(self)} snapshots, {self.steps} steps)"
        )

    def _repr_html_(self) -> str:
        start = f"seed {self.seed}, scale {self.scale:g}" if self.seed >= 0 else "given"
        rows = [
            ("verdict", self.verdict.sentence),
            ("reason", self.reason),
            ("problem", repr(self.problem)),
            ("start", start),
            ("least margin", number(self.margin[-1])),
            *([("made by", self.method.label)] if not self.method.is_flow else []),
            *([("log10 t", number(self.log_time[-1] / np.log(10.0)))] if np.isfinite(self.log_time[-1]) else []),
            ("log10 (L - L*)", number(self.log_excess[-1] / np.log(10.0))),
            *([("conserved drift", number(self.conserved_drift))] if self.parameterization.conserved else []),
            ("ended by", f"{self.ended.name}, {len(self)} snapshots, {self.steps} steps"),
        ]
        return card(f"Trajectory {self.parameterization.word}", rows)

    def to_dataframe(self) -> Any:
        """A row per snapshot as a pandas frame (polars' where only that is): time and steps, margin, norms of W, R.

        Columns as `marginflow export` writes them, with both log_time and iteration.

        Raises:
            InputError: neither pandas nor polars is installed.
        """
        return view("frame")(self)

    def plot(self, kind: str = "norms", **options: Any) -> Any:
        """Figure `kind` of this run, which a notebook shows: `marginflow.figures.picture.plot` says what it takes.

        Raises:
            InputError: an unknown kind or option, nothing that can be drawn, or no matplotlib.
        """
        return view("plot")(self, kind, **options)

    @classmethod
    def from_weights(cls, problem: Any, weights: Any, **options: Any) -> "Trajectory":
        """Iterates of another program as a run, which every table, page and figure takes.

        `marginflow.optim.recorded.from_weights` says what it takes: the weights in order, and log_time, iteration,
        parameterization, loss, norm and label.

        Raises:
            InputError: weights that do not fit the problem, or options that do not fit the weights.
        """
        made: Trajectory = view("from_weights")(problem, weights, **options)
        return made

    @property
    def status(self) -> FlowStatus:
        """What can be said of the end of the flow."""
        return self.verdict.status

    @property
    def reason(self) -> str:
        """Why, in one sentence with numbers."""
        return self.verdict.reason

    @property
    def norm(self) -> str:
        """The norm to compare with: the one predicted, or that of the parameterisation's flow where none is known."""
        try:
            return parse_norm(self.method.norm or self.parameterization.flow_norm).name
        except InputError:
            return self.parameterization.flow_norm

    @property
    def steps(self) -> int:
        """Steps tried."""
        return int(self.snapshots.steps[-1])

    @property
    def evaluations(self) -> int:
        """Forces evaluated; a discrete method evaluates one a step."""
        return self.steps if self.restart is None else int(self.restart.evaluations[-1])

    @property
    def iteration(self) -> Ints:
        """(S,) int, steps taken at each snapshot."""
        return self.snapshots.steps

    @property
    def seed(self) -> int:
        """Of the start that was drawn; -1 for a given one."""
        return self.method.seed

    @property
    def scale(self) -> float:
        """Of the start that was drawn."""
        return self.method.number("scale")

    @property
    def rtol(self) -> float:
        """The relative accuracy asked for; that of float64 for methods that integrate nothing."""
        asked = self.method.number("rtol")
        return float(np.finfo(float).eps) if math.isnan(asked) else asked

    @property
    def until_margin(self) -> float:
        """The margin at which the run was asked to stop; nan where that is not known."""
        return self.method.number("until_margin")

    @property
    def log_time(self) -> Floats:
        """(S,) log t, t the time of the gradient flow of the mean loss; -inf at the start."""
        return self.snapshots.log_time

    @property
    def conserved_drift(self) -> float:
        """The largest |C - C(0)| / |theta|^2 met, C the conserved quantity; the flow is never projected onto it."""
        if self.restart is not None:
            return float(self.restart.drift[-1])
        theta = self.snapshots.theta
        return float(self._map.drift(theta, np.broadcast_to(theta[0], theta.shape)).max())

    @property
    def optimal(self) -> Ints:
        """(n,) the optimal tokens."""
        return self.problem.optimal

    @cached_property
    def limit(self) -> FaceLimit | None:
        """What training goes to where the least loss keeps several tokens of a row or tokens have values; else None."""
        return face_limit(self.problem, self.loss)

    @cached_property
    def goal(self) -> AbstractGoal:
        """Where attention is at the least loss: `limit` where there is one, else the optimal tokens."""
        return self.limit or TokenGoal(self.problem, self.loss)

    @cached_property
    def held(self) -> FaceLimit | None:
        """The faces that the last snapshot is on: of values whichever they are, else those of `limit` or none."""
        high, low = self.snapshots.high[-1], self.snapshots.low[-1]
        if self.problem.values is not None:
            return held_faces(self.problem, self.loss, self.parameterization.diagonal).at(high, low)[0]
        lead = None if self.limit is None else self.limit.lead_if_held(high, low)
        return self.limit if lead is not None and lead >= LEADS[-1] else None

    @property
    def scalar_loss(self) -> AbstractLoss:
        """The loss where tokens have scores."""
        return scalar(self.loss)

    @cached_property
    def margin(self) -> Floats:
        """(S,) the least margin of the optimal tokens over all others; negative where some sample is wrong.

        Where the least loss keeps several tokens of a row, or tokens have values, it is the least lead of a reference
        token of a face (`marginflow.faces`) over the tokens outside.
        """
        return frozen(self.goal.lead(self.snapshots.high, self.snapshots.low))

    @cached_property
    def log_excess(self) -> Floats:
        """(S,) log(L - L*), from the carried logits (theory 3.3)."""
        return frozen(self.goal.log_excess(self.snapshots.high, self.snapshots.low))

    @property
    def floor(self) -> float:
        """The absolute error that float64 leaves in exponents (log time, log excess) at the last snapshot."""
        high = np.where(self.problem.mask, self.snapshots.high[-1], 0.0)
        return float(np.finfo(float).eps * np.abs(high).max())

    @property
    def _map(self) -> AbstractParameterMap:
        return map_of(self.parameterization, self.problem)

    def at(self, i: int = -1) -> Snapshot:
        """Snapshot `i`, with what is asked of it computed once."""
        i = range(len(self))[i]
        if i not in self._seen:
            s = self.snapshots
            logits = Logits(s.high[i][None], s.low[i][None])
            time, count = float(s.log_time[i]), int(s.steps[i])
            self._seen[i] = Snapshot(
                self.problem, self.parameterization, s.theta[i], logits, s.f[i], time, count, self.goal
            )
        return self._seen[i]

    @cached_property
    def _seen(self) -> dict[int, Snapshot]:
        return {}

    def parameters(self, i: int = -1) -> dict[str, Floats]:
        """The trained arrays at snapshot `i`, by name: K (d, m), Q (d_z, m) | W | k, q (d,) | beta (d,)."""
        return {name: array.copy() for name, array in self.at(i).arrays.items()}

    def W(self, i: int = -1) -> Floats:
        """(d, d_z) the attention weights at snapshot `i`; the full matrix also for diagonal weights."""
        return self.at(i).W.copy()

    def selected(self, i: int = -1) -> Ints:
        """(n,) the token of largest logit of each sample at snapshot `i`."""
        return self.at(i).selected.copy()

    def dual(self, i: int = -1) -> Floats:
        """(C,) >= 0, the pull of `problem.constraints()` at snapshot `i`: multipliers up to a positive factor.

        Where the least loss keeps several tokens of a row: of `problem.constraints(faces)`, of any sign on equalities.
        """
        return self.at(i).dual.copy()

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

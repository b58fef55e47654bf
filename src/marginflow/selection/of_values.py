"""What the end of a flow of outputs in R^k means: the least loss by a theorem, or other faces by the rule."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.documents import page
from marginflow.losses import AbstractOutputLoss
from marginflow.model.face_limit import FaceLimit, face_limit
from marginflow.model.held_faces import held_faces
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.problem import Problem
from marginflow.selection.face_barrier import log_face_barrier
from marginflow.selection.face_rule import EndOfFaces, end_of_faces
from marginflow.selection.face_theorem import missing_of_data, missing_of_state
from marginflow.trajectory.ended import RUN_ON, Ended
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.verdict import FlowStatus, Verdict


RULE_LEAD = 20.0
"""The lead out of faces from which the rule is asked of them: tokens outside weigh e^-20."""


@dataclass(eq=False)
class JudgeOfValues:
    """Judges snapshots of runs on one problem whose tokens have values."""

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractOutputLoss

    @cached_property
    def limit(self) -> FaceLimit:
        """The faces of the least loss."""
        found = face_limit(self.problem, self.loss)
        assert found is not None
        return found

    @cached_property
    def log_barrier(self) -> float:
        """The log excess below which the loss goes to its minimum; -inf where the theorem says nothing of the data."""
        return log_face_barrier(self.limit) if self._missing is None else -np.inf

    @cached_property
    def _missing(self) -> str | None:
        return missing_of_data(self.limit, self.parameterization)

    def __call__(self, snapshots: Snapshots, ended: Ended | None) -> Verdict:
        """The verdict on a run whose last snapshot is the last of `snapshots`; `ended` says why it stopped, if so."""
        excess = float(self.limit.log_excess(snapshots.high[-1:], snapshots.low[-1:])[0])
        barrier, why = self.log_barrier, self._missing
        if excess < barrier:
            why = missing_of_state(self.limit, self.parameterization, snapshots.theta[-1])
            if why is None:
                return Verdict(
                    FlowStatus.minimal_loss,
                    f"the excess exp({excess:.6g}) over the least loss {self.limit.faces.minimal_loss:.6g} is below "
                    f"the barrier exp({barrier:.6g}), which the flow cannot climb back over, and under it the loss "
                    f"falls as long as it is above its minimum (theorem in {page('flow')}, section 14)",
                    "barrier",
                    excess,
                    barrier,
                )
        held, lead = held_faces(self.problem, self.loss, self.parameterization.diagonal).at(
            snapshots.high[-1], snapshots.low[-1]
        )
        stopped = RUN_ON if ended is None else ended.advice
        if held is not None and (held.faces.members == self.limit.faces.members).all():
            said = why or f"the excess is not yet below the barrier exp({barrier:.6g}); {stopped}"
            reason = f"attention is on the faces of the least loss by a lead of {lead:.6g}; {said}"
        elif held is None or lead < RULE_LEAD:
            reason = f"attention is on no faces by a lead of {RULE_LEAD:g} ({lead:.6g}); {stopped}"
        else:
            reason = f"attention is on other faces than those of the least loss by a lead of {lead:.6g}: "
            reason += f"{self.end(held).sentence}; that it stays there is not proved"
        return Verdict(FlowStatus.undecided, reason, "", excess, barrier)

    def end(self, held: FaceLimit) -> EndOfFaces:
        """What the rule says of the faces held."""
        return end_of_faces(held, self.parameterization.flow_norm)

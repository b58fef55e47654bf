"""How the end of a run stands on faces: which, by what lead, with which shares, beside which finite part."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.diagnostics.spectrum import attention
from marginflow.model.face_limit import FACE_LEAD, FaceLimit
from marginflow.wording import number, plural


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class OnFaces:
    """The faces that a run ends on, and how near its weights are to what was known of them before training.

    Attributes:
        faces: those held.
        predicted: whether they are those of the least loss.
        lead: by how much the last snapshot leads out of them.
        shares_off: the largest distance of an attention weight, of the last W itself, from its predicted share.
        finite: the Frobenius norm of the part of W that these faces keep finite.
        finite_off: the Frobenius distance of the last W's own part from it.
    """

    faces: FaceLimit
    predicted: bool
    lead: float
    shares_off: float
    finite: float
    finite_off: float

    @property
    def sizes(self) -> str:
        """How many rows keep several tokens, in words."""
        sizes = self.faces.members.sum(axis=1)
        several = sizes[sizes > 1]
        if not len(several):
            return "one token a row"
        low, high = int(several.min()), int(several.max())
        many = f"{low}" if low == high else f"{low} to {high}"
        return f"{len(several)} of {plural(len(sizes), 'row')} with {many} tokens"


def on_faces(path: "Trajectory") -> OnFaces | None:
    """How the last snapshot of `path` stands on faces; None for a goal of tokens, and where none leads by FACE_LEAD."""
    held, seen, diagonal = path.held, path.at(-1), path.parameterization.diagonal
    if held is None or (lead := float(held.lead(seen.s.high, seen.s.low)[0])) < FACE_LEAD:
        return None
    predicted = bool((held.members == path.goal.members).all())
    off = np.abs(attention(path.problem, seen.W) - held.shares).max()
    finite, apart = held.finite(diagonal), _inside(held, seen.weights, diagonal)
    return OnFaces(held, predicted, lead, float(off), float(np.linalg.norm(finite)), apart)


def up(value: float) -> str:
    """A measured distance in two digits, rounded up."""
    return number(float(rounding.text_up(value, 2)), 2)


def _inside(held: FaceLimit, weights: Floats, diagonal: bool) -> float:
    """The Frobenius distance of the part of `weights` along the equalities of `held` from the finite part."""
    rows = held.equal(diagonal)
    if not len(rows):
        return 0.0
    off = rows.cancelling_margins(weights, diagonal) - held.inside(diagonal)
    return float(np.linalg.norm(np.linalg.lstsq(rows.vectors(diagonal), off, rcond=None)[0]))

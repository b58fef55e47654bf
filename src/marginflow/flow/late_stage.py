"""What a late step knows of one run: which tokens are below the tops, and the levels, the logs of their forces."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints
from marginflow.flow.point import Point
from marginflow.model.objective import Objective
from marginflow.model.token_rows import TokenRows


MOST_ENTERING: Final = 0.02
"""The force with which a token comes in at most."""

KEPT: Final = 1e-4
"""The force from which a token is first thought to keep it."""

PASSED: Final = -0.7
"""The log of a better token's force past which it decides where its sample goes: no late step ends there."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Logits moved by `d` (n, T), the unit force `f` (n, T) there, and psi = -log N."""

    d: Floats
    f: Floats
    psi: float


@dataclass(frozen=True, eq=False)
class Stage:
    """What is known of one run while a step is tried.

    Attributes:
        objective, at: of the run alone, B = 1.
        below: (n, T) the tokens below each sample's top.
        better: (n, T) those of them with a higher score.
        kappa: (n, T) log of |F_l| over p_l, both at weights that are all on the tops.
        rtol: relative accuracy asked for.
    """

    objective: Objective
    at: Point
    below: Bools
    better: Bools
    kappa: Floats
    rtol: float

    @classmethod
    def of(cls, objective: Objective, at: Point, rtol: float) -> "Stage":
        """That of a run at `at`."""
        tokens = objective.tokens
        top = at.force.top[0]
        rows = np.arange(len(top))
        scores = tokens.scores[0]
        gap = scores[rows, top][:, None] - scores
        below = tokens.mask[0].copy()
        below[rows, top] = False
        u = scores[rows, top]
        outputs = tokens.outputs
        u = u if outputs is None else outputs.spread(outputs.sum(u))
        with np.errstate(divide="ignore"):
            kappa = np.log(np.abs(gap)) + objective.scalar_loss.log_slope(u[:, None])
        kappa -= np.log(len(top) if outputs is None else outputs.m)
        return cls(objective, at, below, below & (gap < 0.0), kappa, rtol)

    def level(self, d: Floats, psi: float) -> Floats:
        """(n, T) the log of every token's force at the logits moved by `d`, all weight on the tops; -inf at those."""
        s = self.at.s
        return np.where(self.below, s.high[0] + (s.low[0] + d + self.kappa + psi), -np.inf)

    def brought_in(self, levels: "Levels") -> Bools:
        """(n, T) the better tokens that a guess has brought into the force, as far as it lets any in."""
        enters = np.log(MOST_ENTERING)
        start = self.start()
        out = self.level(start.d, start.psi) < enters
        return self.better & out & (self.level(levels.d, levels.psi) > enters - 1.0)

    def overtaken(self, d: Floats) -> bool:
        """Whether a token is above its sample's top at logits moved by `d`."""
        return bool((self.below & (self.at.s.high[0] + (self.at.s.low[0] + d) >= 0.0)).any())

    def excess(self, out: Bools, w: Floats, psi: float, enters: float) -> Floats:
        """(n, T) by how much logits moved by `w` bring tokens that were `out` of the force in further than `enters`."""
        return np.where(out, np.maximum(self.level(w, psi) - enters, 0.0), 0.0)

    def start(self) -> "Levels":
        """Those of the step's start."""
        return Levels(np.zeros(self.below.shape), self.at.force.f[0], -float(self.at.force.log_norm[0]))

    def levels(self, d: Floats, f: Floats, psi: float, kept: Bools) -> "Levels":
        """Levels at logits moved by `d` and about this psi: forces `f` of the `kept` tokens, of the others by level.

        Forces that a linear solve has found are kept as they are: at a margin of 1e9 the exponential of a level is
        good to 1e-7 only, and what pushes theta must be better.
        """
        sign = np.where(self.better, 1.0, -1.0)
        f = np.where(kept, f, sign * np.exp(self.level(d, psi)))
        f = np.where(self.below, f, 0.0)
        np.put_along_axis(f, self.at.force.top[0][:, None], -f.sum(axis=1, keepdims=True), axis=1)
        norm = float(np.sqrt((f * f).sum()))
        return Levels(d, f / norm, psi - float(np.log(norm)))

    def guess(self, levels: "Levels", change: Floats) -> "Levels":
        """Levels to begin with at theta moved by `change`, from those of a node before it.

        Tokens in the force keep it, up to the shift that psi takes; all others go where theta takes them.
        """
        map, theta = self.objective.map, self.at.theta
        w = self.logits(map.jvp(theta + change / 2.0, change))
        kept = self.below & (np.abs(levels.f) > KEPT)
        size = np.where(kept, np.abs(levels.f), 0.0)
        shift = float((size * (w - levels.d)).sum() / size.sum())
        psi = levels.psi - shift
        over = self.excess(~kept, w, psi, np.log(MOST_ENTERING))
        d = np.where(self.below, np.where(kept, levels.d + shift, w - over), 0.0)
        return self.levels(d, levels.f, psi, kept)

    def logits(self, dW: Floats) -> Floats:
        """(n, T) the change of the logits below each top, counted from it, for that of the weights (1, ...)."""
        out = self.objective.tokens.logits(dW)[0]
        return np.where(self.below, out - np.take_along_axis(out, self.at.force.top[0][:, None], axis=1), 0.0)

    def rows(self, index: Ints) -> TokenRows:
        """The differences x_l - x_top of the tokens of flat `index`, with their queries."""
        tokens, top = self.objective.tokens, self.at.force.top[0]
        T = self.below.shape[1]
        x, z = tokens.gather(index[None])
        tops = index // T * T + top[index // T]
        return TokenRows(x[0] - tokens.gather(tops[None])[0][0], z[0])


def part_to_contact(stage: Stage, end: Floats) -> float:
    """1, or the part of the step at which a better token, on a line between levels, has passed."""
    begin = stage.level(np.zeros_like(end), stage.start().psi)
    past = stage.better & (end > PASSED)
    if not past.any():
        return 1.0
    with np.errstate(all="ignore"):
        parts = (2.0 * PASSED - begin[past]) / (end[past] - begin[past])
    return float(np.clip(parts.min(), 1e-3, 0.9))

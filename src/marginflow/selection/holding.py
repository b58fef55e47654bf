"""Whether a run keeps its tokens, by whichever bound shows it (docs/attractors.md 2)."""

import math
from dataclasses import dataclass, field
from typing import Final

from marginflow.model.parameterization import AbstractParameterization
from marginflow.selection.asymptote import keeps_to_line
from marginflow.selection.course import stay
from marginflow.selection.trap import Confinement, Hold, Part, hold
from marginflow.svm.solution import Solution


@dataclass(eq=False)
class Holding:
    """Asks it of runs on one problem.

    Attributes:
        parameterization: what they train.
        short: of the SVMs whose norm bound did not show it, how far that was above the least norm, relative, and what
            it lost of the least better margin.
    """

    parameterization: AbstractParameterization
    short: dict[Solution, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, parts: list[Part], within: list[Confinement], in_passing: bool) -> Hold | None:
        """The least bound of all heads, or that of the first that may not keep its tokens.

        None where none was sought: `in_passing`, where it would be in vain.
        """
        if len(parts) == 1:
            return self._alone(parts[0], within[0], in_passing)
        held = []
        for part, bounds in zip(parts, within, strict=True):
            held.append(hold(part.problem, part.solution, part.selected, bounds))
            if not held[-1].holds:
                return held[-1]
        return min(held, key=lambda found: found.better)

    def _alone(self, part: Part, bounds: Confinement, in_passing: bool) -> Hold | None:
        """The same for a run with one head: of W and beta more is known than their norm."""
        line = keeps_to_line(self.parameterization, part, bounds)
        if line is not None:
            return line
        excess = bounds.reach / max(part.solution.certificate.lower, 1e-300) - 1.0
        least = _least_better(part)
        if in_passing and part.solution in self.short:
            before, lost = self.short[part.solution]
            if least - _SURE * lost * math.sqrt(max(excess, 0.0) / max(before, 1e-300)) < 1.0:
                return None
        found = hold(part.problem, part.solution, part.selected, bounds)
        if found.holds:
            return found
        self.short[part.solution] = excess, least - found.better
        return stay(self.parameterization, part, bounds) or found


def _least_better(part: Part) -> float:
    """The least margin of a better token at the SVM; inf for none."""
    better, W = part.problem.constraints(part.selected, against="better"), part.solution.W
    return float(better.margins(part.solution.svm.matrix(part.solution.svm.weights(W))).min(initial=math.inf))


_SURE: Final = 0.5
"""What a bound loses of a margin goes as the root of the excess of the norm: the share of it that counts as certain."""

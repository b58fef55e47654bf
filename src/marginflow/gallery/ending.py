"""Where a run came to, beside the certified SVM of the tokens that it selected."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import Comparison, comparison, least_margin
from marginflow.norms import parse_norm
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Ending:
    """A run and the SVM of its selection in the norm that the run is predicted to make least."""

    path: Trajectory

    @cached_property
    def compared(self) -> Comparison:
        """The constraints that the last snapshot stands beside."""
        return comparison(self.path)

    @cached_property
    def solution(self) -> Solution:
        """Their certified SVM."""
        return solve(self.compared.constraints, self.path.norm)

    @property
    def excess(self) -> float:
        """norm / (margin x certified least norm) - 1; nan where the run does not separate."""
        return self.compared.norm_over_lead(self.path.norm) / self.solution.certificate.lower - 1.0

    @property
    def ratio_excess(self) -> float:
        """R - 1: a bound of the excess from the run's own weights, without a solver."""
        return self.compared.ratio(self.path.norm) - 1.0

    @property
    def cosine(self) -> float:
        """Of the angle between W and the SVM's: the papers' "correlation coefficient"."""
        return cosine(self.compared.W, self.solution.W)

    def curve(self) -> tuple[Floats, Floats]:
        """(margins, excess) over the snapshots whose margin is positive."""
        norm = parse_norm(self.path.norm)
        rows = self.compared.constraints
        margins, excess = [], []
        for i in range(len(self.path)):
            W = self.path.at(i).separating
            margin = least_margin(rows, W)
            if margin > 0.0:
                margins.append(margin)
                excess.append(norm.value(W) / (margin * self.solution.certificate.lower) - 1.0)
        return np.array(margins), np.array(excess)


def cosine(a: Floats, b: Floats) -> float:
    """<a, b> / |a| |b|."""
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))

"""What is stored for maps and points: margins, force weights and W z of a run, within a budget of bytes."""

from typing import Any, Final

import numpy as np

from marginflow.arrays import Ints
from marginflow.diagnostics.subject import Subject
from marginflow.report.columns import leads
from marginflow.report.drawn import drawn
from marginflow.report.packing import pack, packed_bytes
from marginflow.trajectory.trajectory import Trajectory


BUDGET: Final = 3_000_000
"""Characters for the details of all runs: with everything else the page stays below 6 MB."""


class Budget:
    """Shares what is left equally among the runs still to come."""

    def __init__(self, runs: int, total: int = BUDGET) -> None:
        self.left = total
        self.runs = runs

    def snapshots(self, wanted: int, each: int) -> int:
        """How many snapshots of `each` characters the next run may store, at most `wanted`; 0 below two."""
        share = self.left // max(self.runs, 1)
        count = min(wanted, share // max(each, 1))
        self.runs -= 1
        count = count if count >= 2 else 0
        self.left -= count * each
        return count


def detail_of(path: Trajectory, subject: Subject, at: Ints, budget: Budget) -> dict[str, Any] | None:
    """Margins and force shares of the kept samples' constraints at as many of `at` as the budget allows."""
    constraints, tokens = subject.constraints, drawn(subject)
    count = budget.snapshots(len(at), packed_bytes((2, len(tokens.sample))))
    if count == 0:
        return None
    places = np.unique(np.linspace(0, len(at) - 1, count).round().astype(int))
    margins, shares = [], []
    for i in at[places]:
        margins.append(leads(path, i)[tokens.sample, tokens.token])
        # Multipliers of equalities have any sign: no shares of a force.
        dual = np.where(constraints.equal, 0.0, path.dual(i))
        shares.append(tokens.of(constraints, dual / (dual.sum() or 1.0)))
    return {
        "snapshots": places.tolist(),
        "margins": pack(np.array(margins)),
        "dual": pack(np.array(shares)),
    }


def plane_of(path: Trajectory, subject: Subject, at: Ints, budget: Budget) -> dict[str, Any] | None:
    """(S, 2 kept) W z / |W|_F at every snapshot, for problems in the plane."""
    if subject.problem.d != 2 or subject.problem.counts[1] > 1:
        return None
    if budget.snapshots(len(at), packed_bytes((2 * len(subject.kept),))) < len(at):
        return None
    z = subject.problem.z[subject.kept]
    lines = []
    for i in at:
        W = path.at(int(i)).separating
        lines.append((z @ W.T / (np.linalg.norm(W) or 1.0)).ravel())
    return pack(np.array(lines))

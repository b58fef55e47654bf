"""Runs end only where the list made before training says they can."""

from typing import Any, Final

import numpy as np

from marginflow.attractors.find import attractors
from marginflow.claims.claim import Check, Claim, Evidence
from marginflow.claims.run_ends import leave_rejected, run_ends
from marginflow.problem.random import sphere


PROBLEMS: Final = 4
SEEDS: Final = 16
REJECTED: Final = 6
"""Rejected selections started from on each problem."""


def ends_are_attractors() -> Evidence:
    """16 starts of scale 1 on each of four (4, 4, 8) problems, for W, (K, Q) and diagonal beta."""
    problems = [sphere(4, 4, 8, seed) for seed in range(PROBLEMS)]
    checks = []
    details: dict[str, Any] = {}
    for word in ("w", "kq", "diag"):
        found = run_ends(problems, word, seeds=range(SEEDS), scale=1.0, until_margin=1e9)
        details[f"exceptions {word}"] = [f"{e.problem} seed {e.seed}: {e.reason}" for e in found.exceptions]
        checks.append(
            Check(
                f"runs of {word} at margin 1e9 on tokens that the rule rejects, of {found.total}",
                0.0,
                float(found.total - found.listed),
                0.0,
                "a count; at 1e9 a selection that will be left has been left (docs/attractors.md counts the late ones)",
            )
        )
    # Two controls that a rule which accepts everything fails: how much it accepts, and that what it rejects is left.
    listed = sum(len(attractors(problem, "w").attractors) for problem in problems)
    selections = sum(int(np.prod(problem.lengths)) for problem in problems)
    checks.append(
        Check(
            f"share of the {selections} selections that the rule accepts for w",
            0.0,
            listed / selections,
            0.05,
            "above one in twenty, 16 random starts on accepted selections would no longer say anything",
            "<=",
        )
    )
    for word in ("w", "diag"):
        ends = [leave_rejected(problem, word, REJECTED) for problem in problems]
        left, tried = sum(e[0] for e in ends), sum(e[1] for e in ends)
        details[f"rejected {word}"] = f"{left} of {tried} left"
        checks.append(
            Check(
                f"selections that the rule rejects for {word}, left by 1e9 by a run that starts at their SVM",
                float(REJECTED * len(problems)),
                float(left),
                0.0,
                "a count: the first of each problem; the better token's margin grows less than the others'",
            )
        )
    return Evidence(tuple(checks), details)


CLAIMS = (
    Claim(
        "ends-are-attractors",
        "Training ends in a selection of tokens whose SVM against its worse tokens gives every better token a "
        "margin above 1.",
        "derived, docs/attractors.md (converse proved for W and beta at hyperbolic ends, else measured)",
        f"sphere:n=4,T=4,d=8, seeds 0-{PROBLEMS - 1}",
        ends_are_attractors,
    ),
)

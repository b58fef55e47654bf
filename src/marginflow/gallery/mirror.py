"""superurop and AttentionMD, local convergence: mirror descent goes to the l_p norm of all entries of W."""

from functools import partial
from typing import Final

import numpy as np

from marginflow.claims.claim import Check
from marginflow.gallery.bundled import random_heads
from marginflow.gallery.ending import Ending
from marginflow.gallery.excess_figure import Group, draw_excess
from marginflow.gallery.peers import peer_numbers
from marginflow.gallery.row import Found, Row
from marginflow.optim.descend import descend_many
from marginflow.optim.mirror import Mirror
from marginflow.optim.rate import Speed
from marginflow.svm.solve import solve
from marginflow.trajectory.verdict import FlowStatus


SEEDS: Final = (1, 2, 3)
UNTIL: Final = 300.0
ITERATIONS: Final = 4000
SPEED: Final = 0.1
GAP: Final = 1e-9


def make(p: float) -> Found:
    """The certified least norm of three problems, and mirror descent from W = 0 at a constant speed of the margin."""
    norm, peer = f"entry-lp:{p:g}", peer_numbers(f"mirror-{p:g}")
    problems = [random_heads(6, 8, 10, seed) for seed in SEEDS]
    svms = [solve(problem, norm, GAP) for problem in problems]
    starts = [(np.zeros((10, 10)),)] * len(problems)
    runs = descend_many(
        problems,
        "w",
        Mirror(p),
        inits=starts,
        rate=Speed(SPEED),
        iterations=ITERATIONS,
        until_margin=UNTIL,
        loss="logistic",
    )
    decided = [Ending(run) for run in runs if run.status is not FlowStatus.undecided]
    least = [svm.value for svm in svms]
    excess = [ending.excess for ending in decided]
    ours = {
        "least norm": least,
        "norm / (margin x least) - 1": excess,
        "cosine of W and its SVM": [ending.cosine for ending in decided],
        "status": [run.status.name for run in runs],
    }
    certificate = {
        "least norm": [svm.certificate.gap for svm in svms],
        "norm / (margin x least) - 1": [ending.ratio_excess for ending in decided],
    }
    theirs = np.array(peer["least norm"])
    checks = (
        Check(
            "largest relative difference of least norms",
            0.0,
            float(np.abs(np.array(least) / theirs - 1.0).max()),
            1e-5,
            "the paper's solver stops at 1e-5 and less",
        ),
        Check("largest certified gap", 0.0, max(svm.certificate.gap for svm in svms), GAP, "asked"),
        Check(
            "runs at the minimal loss or trapped",
            len(SEEDS) - 1,
            len(decided),
            0.0,
            "one of three may pass by a saddle (a choice)",
            ">=",
        ),
        Check("largest norm / (margin x least) - 1", 0.0, max(excess, default=np.nan), 3.0 / UNTIL, _CONSTANT),
    )
    groups = [Group("w", decided, f"W by mirror descent, p = {p:g}", max(peer["norm / (margin x least) - 1"]))]
    return Found(ours, certificate, checks, partial(draw_excess, groups=groups))


_CONSTANT: Final = "a constant over the margin for a flow along the norm's own steps, below 3, a choice"

ROWS = tuple(
    Row(
        f"mirror-{p:g}",
        f"mirror descent with potential sum |W|^{p:g}, where its end is decided, goes to the entrywise l_{p:g} SVM",
        f"arXiv 2410.14581; aaronk2002/superurop-repo eb0969b, local_convergence.py -p {p:g}, std 0",
        "torch seeds 1, 2, 3, n = 6, T = 8, d = 10, the program's arrays bit for bit; logistic loss",
        partial(make, p),
    )
    for p in (1.75, 2.0, 3.0)
)

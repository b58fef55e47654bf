"""TF-as-SVM, svm_rank: the rank of nuclear solutions against n, T and d, proved from both sides."""

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow.claims.claim import Check
from marginflow.gallery.bundled import random_heads
from marginflow.gallery.peers import peer_numbers
from marginflow.gallery.row import Found, Row
from marginflow.svm.solve import solve


if TYPE_CHECKING:
    from matplotlib.figure import Figure


SIZES: Final = ((5, 5, 10), (5, 5, 20), (5, 15, 20), (10, 5, 10), (10, 5, 20), (15, 5, 15), (15, 5, 20))
"""(n, T, d): sizes of the figure at which its dashed curves are near n."""

SEEDS: Final = 5
GAP: Final = 1e-9


def make() -> Found:
    """Both least norms of 35 problems, and the rank of every nuclear optimum between two bounds."""
    peer = peer_numbers("svm_rank")
    nuclear, frobenius, gaps, kept, dropped, proved = [], [], [], [], [], 0
    for n, T, d in SIZES:
        problems = [random_heads(n, T, d, seed) for seed in range(SEEDS)]
        solutions = [solve(problem, "nuclear", GAP) for problem in problems]
        evidence = [solution.rank_evidence for solution in solutions]
        plain = [solve(problem, "frobenius", GAP).rank_evidence for problem in problems]
        proved += sum(e.rank is not None for e in evidence + plain)
        nuclear.append(float(np.mean([e.at_most for e in evidence])))
        frobenius.append(float(np.mean([e.at_most for e in plain])))
        gaps.append(max(solution.certificate.gap for solution in solutions))
        kept.append(min(e.kept for e in evidence))
        dropped.append(max(e.dropped for e in evidence))
    ours = {
        "mean rank, nuclear": nuclear,
        "mean rank, Frobenius": frobenius,
        "n, T, d": [f"{n} {T} {d}" for n, T, d in SIZES],
        "ranks proved": f"{proved} of {2 * len(SIZES) * SEEDS}",
        "least singular value kept, over the largest": kept,
    }
    certificate = {
        "largest certified gap": gaps,
        "bound on the values dropped": dropped,
    }
    tight = np.array(peer["mean rank, nuclear, the same solver at 1e-10"])
    figure = np.array(peer["mean rank, nuclear"])
    checks = (
        Check("ranks proved", 2 * len(SIZES) * SEEDS, proved, 0.0, "a count: lower and upper bound meet"),
        Check(
            "sum of differences to the notebook's solver at 1e-10",
            0.0,
            float(np.abs(tight - nuclear).sum()),
            1e-9,
            "ranks are whole numbers",
        ),
        Check(
            "sizes where the figure's rank is too large",
            len(SIZES),
            int((figure > np.array(nuclear) + 1e-9).sum()),
            0.0,
            "a count: its solver stops at 1e-5 and singular values above 1e-7 are counted",
        ),
        Check("largest certified gap", 0.0, max(gaps), GAP, "asked"),
    )
    return Found(ours, certificate, checks, partial(_draw, nuclear=nuclear, theirs=figure.tolist()))


def _draw(figure: "Figure", nuclear: list[float], theirs: list[float]) -> None:
    """The figure's ranks beside the true ones, by size."""
    axes = figure.subplots()
    place = np.arange(len(SIZES))
    axes.bar(
        place - 0.2,
        theirs,
        0.38,
        color="#D55E00",
        hatch="//",
        edgecolor="white",
        label="paper: its solver, singular values above 1e-7",
    )
    axes.bar(place + 0.2, nuclear, 0.38, color="#0072B2", label="proved from both sides")
    axes.set_xticks(place, [f"{n}, {T}, {d}" for n, T, d in SIZES], rotation=30, ha="right", fontsize=7)
    axes.set_xlabel("n, T, d")
    axes.set_ylabel("mean rank, nuclear norm")
    axes.legend(fontsize=7)


ROWS = (
    Row(
        "svm_rank",
        "nuclear solutions have far smaller rank than the figure shows; its ranks are those of an unfinished solver",
        "arXiv 2308.16898; umich-sota/TF-as-SVM 568305a, svm_rank.ipynb",
        f"torch seeds 0 to {SEEDS - 1} of each size, the notebook's generator (it has 100)",
        make,
    ),
)

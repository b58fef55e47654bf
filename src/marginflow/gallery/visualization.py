"""TF-as-SVM, visualization1 and visualization2: W goes to the Frobenius SVM, keys and queries to the nuclear one."""

from functools import partial

import numpy as np

from marginflow.claims.claim import Check
from marginflow.flow.integrate import integrate
from marginflow.gallery.bundled import stored
from marginflow.gallery.ending import Ending
from marginflow.gallery.excess_figure import Group, draw_excess
from marginflow.gallery.peers import peer_numbers
from marginflow.gallery.row import Found, Row
from marginflow.svm.solve import solve


UNTIL = 1e9
"""Margin of the runs: R - 1 of W is a constant over the margin (theory 5), so ten digits of it are seen."""

GAP = 1e-9
"""Certified relative gap asked of the SVMs."""


def make(name: str) -> Found:
    """Both SVMs and both flows, from the starts of the notebook: W = 0; K of .1 normal numbers and Q = 0."""
    problem, peer = stored(name), peer_numbers(name)
    frobenius, nuclear = solve(problem, "frobenius", GAP), solve(problem, "nuclear", GAP)
    K = 0.1 * np.random.default_rng(0).standard_normal((2, 2))
    w = Ending(integrate(problem, "w", init=(np.zeros((2, 2)),), loss="logistic", until_margin=UNTIL))
    kq = Ending(integrate(problem, "kq", init=(K, np.zeros((2, 2))), loss="logistic", until_margin=UNTIL))
    ours = {
        "least Frobenius norm": frobenius.value,
        "least nuclear norm": nuclear.value,
        "rank of the nuclear solution": nuclear.rank,
        "cosine of W and its SVM": w.cosine,
        "cosine of K Q' and its SVM": kq.cosine,
        "norm / (margin x least) - 1 of W": w.excess,
        "norm / (margin x least) - 1 of K Q'": kq.excess,
        "status of W": w.path.status.name,
        "status of K Q'": kq.path.status.name,
    }
    certificate = {
        "least Frobenius norm": frobenius.certificate.gap,
        "least nuclear norm": nuclear.certificate.gap,
        "R - 1 of W": w.ratio_excess,
        "R - 1 of K Q'": kq.ratio_excess,
    }
    solver = "the solver of the notebook stops at a relative 1e-5"
    checks = (
        Check(
            "R - 1 of W", 0.0, w.ratio_excess, 10.0 / UNTIL, "a constant over the margin, theory 5; below 10, a choice"
        ),
        Check("R - 1 of K Q'", 0.0, kq.ratio_excess, 1e-4, "powers of the margin, theory 6; 1e-4 is a choice"),
        *(
            Check(what, float(peer[what]), float(ours[what] or np.nan), 3e-5 * float(peer[what]), solver)
            for what in ("least Frobenius norm", "least nuclear norm")
        ),
        Check("larger certified gap", 0.0, max(frobenius.certificate.gap, nuclear.certificate.gap), GAP, "asked"),
    )
    w_peer, kq_peer = (float(peer[f"norm / (margin x least) - 1 of {of}"]) for of in ("W", "K Q'"))
    groups = [Group("w", [w], "W, Frobenius", w_peer), Group("kq", [kq], "(K, Q), nuclear", kq_peer)]
    return Found(ours, certificate, checks, partial(draw_excess, groups=groups))


ROWS = tuple(
    Row(
        name,
        "W goes to the least Frobenius norm, K and Q to the least nuclear norm",
        f"arXiv 2308.16898; umich-sota/TF-as-SVM 568305a, {name}.ipynb",
        f"torch seed {seed}, two samples of {T} tokens in the plane, as bundled arrays; logistic loss",
        partial(make, name),
    )
    for name, seed, T in (("visualization1", 1, 3), ("visualization2", 3, 5))
)

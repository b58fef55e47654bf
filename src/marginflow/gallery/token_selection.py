"""Max-margin token selection: a prompt p, which is W with queries of one number."""

from functools import partial

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.claims.claim import Check
from marginflow.flow.integrate import integrate_many
from marginflow.gallery.bundled import stored
from marginflow.gallery.ending import Ending
from marginflow.gallery.excess_figure import Group, draw_excess
from marginflow.gallery.peers import peer_numbers
from marginflow.gallery.row import Found, Numbers, Row
from marginflow.problem.problem import Problem
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve


UNTIL = 1e6
GAP = 1e-9

LOG = 6e-6
"""The notebooks print |p|^2 / 2 with five digits."""

STARTS = (1.0, 0.5, 0.0, -0.5, -1.0, -1.5)
"""The moving coordinate of the six starts."""


def _from_starts(problem: Problem, coordinate: int) -> list[Ending]:
    """A run from each of the six starts."""
    starts = [np.array([[start if k == coordinate else 0.0] for k in range(2)]) for start in STARTS]
    runs = integrate_many(problem, "w", inits=[(p,) for p in starts], loss="logistic", until_margin=UNTIL)
    return [Ending(run) for run in runs]


def _ratio_check(endings: list[Ending]) -> Check:
    worst = max(ending.ratio_excess for ending in endings)
    return Check(
        "largest R - 1 of six starts",
        0.0,
        worst,
        10.0 / UNTIL,
        "a constant over the margin, theory 5; below 10, a choice",
    )


def _half_square(svm: Solution) -> tuple[float, float]:
    """|p|^2 / 2, which the notebooks print, and its certified relative gap."""
    gap = svm.certificate.gap
    return svm.value**2 / 2.0, rounding.up(gap * (2.0 + gap), 3)


def single_input(name: str, trapped: int) -> Found:
    """One sample, six starts; `trapped` of them end on token 1, whose own SVM is the other dashed ray of the figure."""
    problem, peer = stored(name), peer_numbers(name)
    svms = [solve(problem, "frobenius", GAP, selection=[token]) for token in (0, 1)]
    endings = _from_starts(problem, 1)
    tokens = [int(ending.path.selected(-1)[0]) for ending in endings]
    keys = [f"half of least |p|^2, token {token}" for token in (0, 1)]
    statuses = [ending.path.status.name for ending in endings]
    ours: Numbers = {key: _half_square(svm)[0] for key, svm in zip(keys, svms, strict=True)} | {
        "token selected from each start": tokens,
        "status from each start": statuses,
    }
    certificate: Numbers = {key: _half_square(svm)[1] for key, svm in zip(keys, svms, strict=True)} | {
        "R - 1 from each start": [ending.ratio_excess for ending in endings],
    }
    checks = (
        _ratio_check(endings),
        *(Check(key, float(peer[key]), float(ours[key]), LOG, "five digits are printed") for key in keys),
        Check("starts trapped on token 1", trapped, statuses.count("trapped"), 0.0, "a count, each proved"),
        Check("starts that reach the optimal token", 6 - trapped, statuses.count("minimal_loss"), 0.0, "a count"),
    )
    groups = [Group("w", endings, "six starts, each beside the SVM of its token")]
    return Found(ours, certificate, checks, partial(draw_excess, groups=groups))


def multi_input() -> Found:
    """Three samples of seven tokens, six starts, one direction."""
    problem, peer = stored("multi_input"), peer_numbers("multi_input")
    with_scores = Problem(np.concatenate([problem.X, problem.scores[:, :, None]], axis=2), problem.z, problem.scores)
    svm, wide = solve(problem, "frobenius", GAP), solve(with_scores, "frobenius", GAP)
    endings = _from_starts(problem, 0)
    printed = "half of least |p|^2, the score as a third coordinate"
    ours: Numbers = {
        printed: _half_square(wide)[0],
        "half of least |p|^2, the two coordinates that are trained": _half_square(svm)[0],
        "least cosine of p and its SVM": min(ending.cosine for ending in endings),
        "largest norm / (margin x least) - 1": max(ending.excess for ending in endings),
        "status from each start": [ending.path.status.name for ending in endings],
    }
    certificate = {
        printed: _half_square(wide)[1],
        "half of least |p|^2, the two coordinates that are trained": _half_square(svm)[1],
        "R - 1 from each start": [ending.ratio_excess for ending in endings],
    }
    checks = (
        _ratio_check(endings),
        Check(printed, float(peer[printed]), float(ours[printed]), LOG, "five digits are printed"),
    )
    theirs = float(peer["largest norm / (margin x least) - 1"])
    groups = [Group("w", endings, "six starts", theirs)]
    return Found(ours, certificate, checks, partial(draw_excess, groups=groups))


SCALES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100)
"""The optimal token of the first sample has score C, that of the second 1."""


def diff_loss_function() -> Found:
    """The SVM knows neither C nor the loss: p goes to (1, 0) for all of them, and how fast is what differs."""
    tokens = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, -1.0]]])
    problems = [Problem(tokens, np.ones((2, 1)), np.array([[0.0, C], [0.0, 1.0]])) for C in SCALES]
    svm = solve(problems[0], "frobenius", GAP)
    inits = [(np.zeros((2, 1)),)] * len(problems)
    endings = {
        loss: [Ending(run) for run in integrate_many(problems, "w", inits=inits, loss=loss, until_margin=UNTIL)]
        for loss in ("linear", "logistic", "exponential")
    }
    ours: Numbers = {"least |p|": svm.value, "direction": (svm.W.ravel() / svm.value).tolist()}
    certificate: Numbers = {"least |p|": svm.certificate.gap}
    for loss, runs in endings.items():
        ours[f"largest norm / (margin x least) - 1, {loss}"] = max(ending.excess for ending in runs)
        certificate[f"largest R - 1, {loss}"] = max(ending.ratio_excess for ending in runs)
    turned = max(_turn(ending.compared.W, svm.W) for runs in endings.values() for ending in runs)
    worst = max(ending.ratio_excess for runs in endings.values() for ending in runs)
    checks = (
        Check("largest R - 1 of 33 runs", 0.0, worst, SCALES[-1] / UNTIL, "at most C over the margin, theory 5"),
        Check("largest sine of the angle to (1, 0)", 0.0, turned, SCALES[-1] / UNTIL, "the same constant"),
        Check("least |p|", 1.0, svm.value, GAP, "the distance of (1, 1) and (1, -1) from the origin along (1, 0)"),
    )
    groups = [Group(_LOOK[loss], runs, f"loss {loss}, C = 1 to 100") for loss, runs in endings.items()]
    return Found(ours, certificate, checks, partial(draw_excess, groups=groups))


_LOOK = {"linear": "w", "logistic": "kq", "exponential": "diag-kq"}


def _turn(W: Floats, other: Floats) -> float:
    """The sine of the angle between two vectors."""
    unit, axis = W / np.linalg.norm(W), other / np.linalg.norm(other)
    return float(np.linalg.norm(unit - axis * float((unit * axis).sum())))


SOURCE = "arXiv 2306.13596; ucr-optml/max_margin_attention c309c12, MaxMarginTokenSelection/"

ROWS = (
    Row(
        "single_input_global",
        "from six starts p goes to the max-margin direction of the optimal token",
        f"{SOURCE}single_input_converge.ipynb, g_converge=True",
        "three tokens written out in the notebook, scores 1, 0.9, 0.9; logistic loss",
        partial(single_input, "single_input_global", 0),
    ),
    Row(
        "single_input_local",
        "from two of six starts p goes to the max-margin direction of another token and stays",
        f"{SOURCE}single_input_converge.ipynb, g_converge=False",
        "three tokens written out in the notebook, scores 1, 0.9, 0; logistic loss",
        partial(single_input, "single_input_local", 2),
    ),
    Row(
        "multi_input",
        "from six starts p goes to one max-margin direction",
        f"{SOURCE}multi_input_converge.ipynb",
        "torch seed 0, three samples of seven tokens, as bundled arrays; logistic loss",
        multi_input,
    ),
    Row(
        "diff_loss_function",
        "the direction depends neither on the loss nor on the scale C of a score",
        f"{SOURCE}diff_loss_function.ipynb",
        "two samples of two tokens written out in the notebook, C = 1 to 10 and 100",
        diff_loss_function,
    ),
)

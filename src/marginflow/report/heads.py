"""Head by head: what sentences, tables and figures of a run with several heads say of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.ratio import comparison, least_margin, over_margin
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.problem.problem import Problem
from marginflow.report.wording import number, plural
from marginflow.svm.proof.certificate import Certificate
from marginflow.svm.solution import Solution
from marginflow.trajectory.trajectory import Trajectory


MOST = 8
"""Heads that are told of one by one."""


@dataclass(frozen=True)
class HeadEnd:
    """One head at the end of a run, beside its own SVM; of a trapped run that of its own tokens (`Comparison`).

    Attributes:
        head: which.
        margin: its least margin, or lead over worse tokens.
        value: the norm of its W over that, in the run's norm; nan where it is not positive.
        least: the bounds of its SVM's value; None where that is not certified.
        wrong: rows of it that are not on their optimal token.
    """

    head: int
    margin: float
    value: float
    least: Certificate | None
    wrong: int


def ends_of_heads(path: Trajectory, subject: Subject) -> list[HeadEnd]:
    """The first `MOST` heads of `path`; [] of a run of one head."""
    problem = path.problem
    if problem.counts[1] == 1:
        return []
    norm, seen, solution = parse_norm(path.norm), comparison(path), subject.compared(path)
    wrong = path.selected(-1) != problem.optimal
    out = []
    for h, ((_, constraints), W) in enumerate(zip(seen.constraints.per_head[:MOST], seen.W, strict=False)):
        margin = least_margin(constraints, W)
        least = solution.parts[h].certificate if solution is not None and solution.status.name == "optimal" else None
        out.append(HeadEnd(h, margin, over_margin(norm, W, margin), least, int(wrong[problem.head == h].sum())))
    return out


def sentence_of_heads(path: Trajectory, subject: Subject) -> str:
    """Every head's least margin at the end, its norm over it, and the certified least; "" of a run of one head.

    Of a trapped run margins are leads over worse tokens, and SVMs those of its own tokens (`Comparison`).
    """
    ends = ends_of_heads(path, subject)
    if not ends:
        return ""
    label, lead = parse_norm(path.norm).label, "lead" if comparison(path).own else "margin"
    parts = []
    for end in ends:
        text = f"head {end.head} has least {lead} {number(end.margin)}"
        if end.least is not None and end.value == end.value:
            text += f" and {label} norm {number(end.value, 8)} over it (certified least {end.least.interval(8)})"
        parts.append(text)
    more = path.problem.counts[1] - MOST
    said = "; ".join([*parts, *([f"and {plural(more, 'more head')}"] if more > 0 else [])])
    return f"By head: {said}."


def columns_of_heads(path: Trajectory, names: list[str], at: Ints) -> dict[str, Floats]:
    """By name, (S,) at the snapshots `at`: every head's least margin, and its norms over it; {} for one head."""
    if path.problem.counts[1] == 1:
        return {}
    out: dict[str, Floats] = {}
    W = [path.W(int(i)) for i in at]
    for h, (_, constraints) in enumerate(comparison(path).constraints.per_head[:MOST]):
        margins = np.array([least_margin(constraints, one[h]) for one in W])
        out[f"head{h}_margin"] = margins
        for name in names:
            norm = parse_norm(name)
            out[f"head{h}_{name}"] = np.array([over_margin(norm, w[h], m) for w, m in zip(W, margins, strict=True)])
    return out


def lines_of_heads(solution: Solution | None) -> list[dict[str, Any] | None]:
    """For each head the certified lower bound of its SVM's value, as a page draws it; [] where there are none."""
    parts = () if solution is None or solution.status.name != "optimal" else solution.parts
    return [
        {
            "value": float(part.certificate.lower),
            "name": f"least {rounding.text_down(part.certificate.lower, 5)}",
            "bounds": part.certificate.interval(8),
        }
        for part in parts[:MOST]
    ]


def names_of_rows(problem: Problem) -> list[str] | None:
    """(n,) what to call each row: its name, or its output and head where there are several heads; None for neither."""
    if problem.sample_names is not None:
        return [str(name) for name in problem.sample_names]
    if problem.counts[1] == 1:
        return None
    return [f"output {o}, head {h}" for o, h in zip(problem.output, problem.head, strict=True)]

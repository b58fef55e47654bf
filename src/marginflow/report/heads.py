"""Head by head: what the sentences of a run with several heads say of each."""

from marginflow.diagnostics.ratio import comparison, least_margin, over_margin
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.problem.problem import Problem
from marginflow.report.wording import number, plural
from marginflow.trajectory.trajectory import Trajectory


MOST = 8
"""Heads that are told of one by one."""


def sentence_of_heads(path: Trajectory, subject: Subject) -> str:
    """Every head's least margin at the end, its norm over it, and the certified least; "" of a run of one head.

    Of a trapped run margins are leads over worse tokens, and SVMs those of its own tokens (`Comparison`).
    """
    if path.problem.counts[1] == 1:
        return ""
    norm, seen, solution = parse_norm(path.norm), comparison(path), subject.compared(path)
    parts = []
    for h, ((_, constraints), W) in enumerate(zip(seen.constraints.per_head[:MOST], seen.W, strict=False)):
        margin = least_margin(constraints, W)
        value = over_margin(norm, W, margin)
        text = f"head {h} has least {'lead' if seen.own else 'margin'} {number(margin)}"
        if solution is not None and solution.status.name == "optimal" and value == value:
            certificate = solution.parts[h].certificate
            text += f" and {norm.label} norm {number(value, 8)} over it (certified least {certificate.interval(8)})"
        parts.append(text)
    more = path.problem.counts[1] - MOST
    said = "; ".join([*parts, *([f"and {plural(more, 'more head')}"] if more > 0 else [])])
    return f"By head: {said}."


def names_of_rows(problem: Problem) -> list[str] | None:
    """(n,) what to call each row: its name, or its output and head where there are several heads; None for neither."""
    if problem.sample_names is not None:
        return [str(name) for name in problem.sample_names]
    if problem.counts[1] == 1:
        return None
    return [f"output {o}, head {h}" for o, h in zip(problem.output, problem.head, strict=True)]

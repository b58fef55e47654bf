"""The answer of a study in a sentence: how often the minimal loss is reached, and how near the least norms."""

from collections.abc import Sequence
from typing import Final

from marginflow.documents import page
from marginflow.norms import parse_norm
from marginflow.study.outcome.outcome import CellOutcome, MarkOutcome, Outcome
from marginflow.study.page.diagram import interval
from marginflow.study.page.names import brief_titles, cell_words, model_words
from marginflow.wording import ROUNDING, above, number, plural


LIMITS: Final = (
    "A share is of the seeds that ran; its interval is of the probability behind it, in its cell alone.",
    "Cells of one problem may share its data and seeds: what differs between them varies less than two intervals say, "
    "and no paired test is made.",
    f"A verdict is that of {page('flow')}; undecided runs count as not having reached the minimal loss.",
    "Medians and bands at a mark are of the runs that reached it; those that ended before are not in them.",
)
"""What the page of a study does not show."""

_NORMS: Final = 3
"""Norms of which the sentence says how near the runs came."""


def headline(found: Outcome) -> str:
    """How often; where every run got there, how near too."""
    cells = _finished(found)
    if not cells:
        return "No run of this study has a result yet."
    return _how_often(cells) + (f" {_how_near(cells)}" if _all_reach(cells) else "")


def _finished(found: Outcome) -> list[CellOutcome]:
    return [c for c in found.cells if c.shares["minimal_loss"].total]


def _all_reach(cells: Sequence[CellOutcome]) -> bool:
    return all(c.shares["minimal_loss"].count == c.shares["minimal_loss"].total for c in cells)


def summary(found: Outcome) -> str:
    """How near where the headline does not say it, how much of the plan ran, and what it cost."""
    cells = _finished(found)
    near = "" if not cells or _all_reach(cells) else _how_near(cells)
    runs = sum(c.runs for c in found.cells)
    cost = f"{found.cpu_seconds:.1f} CPU seconds" if found.costed else "cost unknown"
    failed = f", {len(found.failures)} failed and are in no share" if found.failures else ""
    return f"{near} ".lstrip() + (
        f"Study {found.plan.name}: {runs} of {plural(found.plan.runs, 'run')}{failed}, {found.done} of "
        f"{len(found.plan.units)} batches, {cost}, code {found.plan.version}."
    )


def _how_often(cells: Sequence[CellOutcome]) -> str:
    shares = [c.shares["minimal_loss"] for c in cells]
    total, reached = sum(s.total for s in shares), sum(s.count for s in shares)
    if reached == total:
        return f"Every one of {plural(total, 'run')} reached the minimal loss."
    if reached == 0:
        return f"None of {plural(total, 'run')} reached the minimal loss."
    if len(cells) == 1:
        return f"{reached} of {total} runs reached the minimal loss: {interval(shares[0])}."
    order = sorted(cells, key=lambda c: c.shares["minimal_loss"].value)
    named = brief_titles([c.cell for c in cells])
    ends = [f"{interval(c.shares['minimal_loss'])} ({_cell_words(c, named)})" for c in (order[0], order[-1])]
    return f"{reached} of {total} runs reached the minimal loss: from {ends[0]} to {ends[1]}."


def _cell_words(c: CellOutcome, named: dict[str, str]) -> str:
    problem = f", {named[c.cell.data_label]}" if len(named) > 1 else ""
    return f"{cell_words(c.cell)}{problem}"


def _how_near(cells: Sequence[CellOutcome]) -> str:
    """The cell nearest to each certified least norm, in the median, at its last mark."""
    last: dict[str, list[tuple[float, CellOutcome, MarkOutcome]]] = {}
    for c in cells:
        for norm in dict.fromkeys(m.norm for m in c.marks):
            mark = [m for m in c.marks if m.norm == norm][-1]
            if mark.norm_over_margin.total:
                last.setdefault(norm, []).append((mark.norm_over_margin.median, c, mark))
    said = []
    for norm, members in list(last.items())[:_NORMS]:
        excess, c, mark = min(members, key=lambda member: member[0])
        at = f"margin {number(mark.target, 3)}" if c.cell.steps is None else f"step {mark.target:g}"
        where = f"{parse_norm(norm).label} norm ({model_words(c.cell)}, {at})"
        equal = excess - 1.0 <= ROUNDING
        said.append(f"the least {where} up to rounding" if equal else f"{above(excess - 1.0)} the least {where}")
    return f"Nearest in the median: {'; '.join(said)}." if said else ""

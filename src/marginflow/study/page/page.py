"""The report of a study: one HTML file with nothing outside it."""

import shlex
from html import escape
from typing import Any, Final

from marginflow import rounding
from marginflow.diagnostics.late_law import POWER_SENTENCE
from marginflow.norms import parse_norm
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, scrolling, table
from marginflow.study.outcome.outcome import CellOutcome, Outcome
from marginflow.study.outcome.shares import Quantiles
from marginflow.study.page.answer import LIMITS, headline, summary
from marginflow.study.page.curves import panels_of
from marginflow.study.page.diagram import by_problem, interval, phase_diagrams, separability
from marginflow.study.page.names import brief, brief_titles, cell_name, cell_words, colour, titles
from marginflow.wording import number


KIND: Final = Kind("study", "study/assets", "study.html", ("study.js",), "curves", "the curves")

LONGEST: Final = 500
"""Failures listed; the rest are counted."""


def page(found: Outcome) -> str:
    """The whole page. The same outcome gives the same text."""
    parts = {
        "phases": phase_diagrams(found.cells),
        "power": POWER_SENTENCE,
        "marks": _marks(found),
        "separability": separability(found.cells),
        "costs": _costs(found),
        "failures": _failures(found),
        "limits": bullets(LIMITS),
        "file": escape(f"{found.plan.name}.toml"),
        "plan": escape(found.plan.text),
    }
    plan = shlex.quote(f"{found.plan.name}.toml")
    again = Again(
        [f"marginflow study run {plan}", f"marginflow study report {plan} -o study.html"],
        "The plan stands above under the name used here. Equal code and seeds give equal results.",
    )
    return KIND.page(Said(headline(found), summary(found), again), parts, _data(found))


def _data(found: Outcome) -> dict[str, Any]:
    named = titles([c.cell for c in found.cells])
    problems = []
    for label, group in by_problem(found.cells).items():
        members = [c for _, c in group]
        cells = [{"place": i, **_cell(c), "word": colour(c.cell, members)} for i, c in group]
        problems.append({"title": named[label], "cells": cells, "panels": panels_of(members)})
    return {"problems": problems}


def _cell(c: CellOutcome) -> dict[str, Any]:
    # The seed stands twice where the problem follows it: a seed that cannot occur marks the places.
    mark = 987654321987
    return {
        "words": cell_words(c.cell),
        "brief": brief(c.cell),
        "steps": c.cell.steps is not None,
        "command": c.cell.command(mark).replace(str(mark), "{seed}"),
        "seeds": [seed for seed, _ in c.ends],
        "ends": "".join(status[0] for _, status in c.ends),
    }


def _marks(found: Outcome) -> str:
    """Every number behind the curves."""
    named = brief_titles([c.cell for c in found.cells])
    rows = [[cell_name(c.cell, found.cells, named), *row] for c in found.cells for row in _mark_rows(c)]
    if not rows:
        return "<p>No run reached a mark of the plan.</p>"
    caption = (
        "Median [10 %, 90 %] over runs. Norm over margin is relative to the certified SVM value of each run's own "
        "problem. The power is that from the mark before; marks of an optimiser are steps."
    )
    names = ["cell", "norm", "margin or step", "runs", "R − 1", "norm ⁄ margin over SVM"]
    names += ["measured power", "predicted power"]
    shown = scrolling(table(names, rows, caption=caption, look="stack cells"), "R and gap at the marks")
    return f"<details><summary>Table of all cells</summary>{shown}</details>"


def _mark_rows(c: CellOutcome) -> list[list[str]]:
    rows = []
    for m in c.marks:
        if m.ratio.total:
            excess = Quantiles(m.ratio.total, m.ratio.low - 1, m.ratio.median - 1, m.ratio.high - 1)
            spreads = [_spread(q) for q in (excess, m.norm_over_margin, m.power, m.predicted)]
            rows.append([escape(parse_norm(m.norm).label), number(m.target, 4), str(m.ratio.total), *spreads])
    return rows


def _spread(q: Quantiles) -> str:
    return "–" if q.total == 0 else f"{number(q.median, 4)} {rounding.interval(q.low, q.high, 4)}"


def _costs(found: Outcome) -> str:
    names = ["cell", "runs", "minimal loss", "trapped", "undecided", "failed", "evaluations", "log t at the end"]
    named = brief_titles([c.cell for c in found.cells])
    rows = [
        [
            cell_name(c.cell, found.cells, named),
            str(c.runs),
            *(interval(share) for share in c.shares.values()),
            str(c.failed),
            _spread(c.evaluations),
            _spread(c.log_time),
        ]
        for c in found.cells
    ]
    return scrolling(table(names, rows, look="stack cells"), "ends and costs")


def _failures(found: Outcome) -> str:
    if not found.failures:
        return "<p>None: no run raised an error.</p>"
    items = "".join(
        f"<li>{escape(cell.label)}, seed {seed}: {escape(reason)}<br><code>{escape(cell.command(seed))}</code></li>"
        for cell, seed, reason in found.failures[:LONGEST]
    )
    rest = len(found.failures) - LONGEST
    return f"<ol>{items}</ol>" + (f"<p>and {rest} more, see `study export`.</p>" if rest > 0 else "")

"""What the page draws of R - 1, and of the gap of optimisers, against margin: medians with bands of 10 to 90 %."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from marginflow.norms import parse_norm
from marginflow.study.outcome.outcome import CellOutcome, MarkOutcome
from marginflow.study.outcome.shares import Quantiles


Value = Callable[[MarkOutcome], Quantiles]

LEAST: Final = 2
"""Marks of a curve; one is a point."""


def panels_of(group: Sequence[CellOutcome]) -> list[dict[str, Any]]:
    """The panels of one problem: R - 1 in every norm with marks, and the gap where cells have an optimiser.

    Curves name their cell by its place in `group`. A panel without a curve is left out.
    """
    norms = list(dict.fromkeys(m.norm for c in group for m in c.marks))
    found = []
    for norm in norms:
        label = parse_norm(norm).label
        found.append({"title": f"R − 1, {label}", "curves": _curves(group, norm, lambda m: m.ratio), "slope": False})
        stepped = [c if c.cell.steps is not None else None for c in group]
        gaps = _curves(stepped, norm, lambda m: m.norm_over_margin)
        found.append({"title": f"gap, {label}", "curves": gaps, "slope": True})
    return [panel for panel in found if panel["curves"]]


def _curves(group: Sequence[CellOutcome | None], norm: str, value: Value) -> list[dict[str, Any]]:
    out = []
    for place, c in enumerate(group):
        marks = [] if c is None else [m for m in c.marks if m.norm == norm and _drawn(c, m, value(m))]
        if c is not None and len(marks) >= LEAST:
            quantiles = [value(m) for m in marks]
            powers = [m.predicted.median for m in marks if m.predicted.total]
            out.append(
                {
                    "cell": place,
                    "margin": [_margin(c, m) for m in marks],
                    "low": [q.low - 1.0 for q in quantiles],
                    "median": [q.median - 1.0 for q in quantiles],
                    "high": [q.high - 1.0 for q in quantiles],
                    "runs": [q.total for q in quantiles],
                    "power": powers[-1] if powers and c.cell.steps is None else None,
                }
            )
    return out


def _drawn(c: CellOutcome, m: MarkOutcome, q: Quantiles) -> bool:
    """Whether a logarithmic axis has a place for it."""
    return bool(q.total) and q.low > 1.0 and _margin(c, m) > 0.0


def _margin(c: CellOutcome, m: MarkOutcome) -> float:
    """Marks of an optimiser are iterations: they are drawn at the margin that the median run has there."""
    return m.target if c.cell.steps is None else m.margin.median

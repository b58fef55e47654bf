"""R - 1, and the gap of optimisers, against margin as inline SVG: medians with their band of 10 to 90 %, log-log."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from marginflow.study.outcome.outcome import CellOutcome, MarkOutcome
from marginflow.study.outcome.shares import Quantiles


WIDTH: Final = 640
HEIGHT: Final = 300
LEFT: Final = 62
RIGHT: Final = 190
TOP: Final = 12
BOTTOM: Final = 40
MOST: Final = 8

COLOURS: Final = ("#3b73b9", "#d1713a", "#3c9a63", "#a4519b", "#b8941f", "#37a0a8", "#c04a5d", "#7a6ad0")


Value = Callable[[MarkOutcome], Quantiles]


def curves(group: Sequence[CellOutcome], norm: str) -> str:
    """R - 1 of up to MOST cells that have marks in `norm`; "" when there is nothing to draw."""
    return _figure(group, norm, lambda m: m.ratio, "R − 1", guide=False)


def gap_curves(group: Sequence[CellOutcome], norm: str) -> str:
    """N(W) over margin and certified least, minus 1, of the cells with an optimiser, and a line of slope -1."""
    stepped = [c for c in group if c.cell.steps is not None]
    return _figure(stepped, norm, lambda m: m.norm_over_margin, "gap", guide=True)


def _margin(c: CellOutcome, m: MarkOutcome) -> float:
    """Marks of an optimiser are iterations: they are drawn at the margin that the median run has there."""
    return m.target if c.cell.steps is None else m.margin.median


def _figure(group: Sequence[CellOutcome], norm: str, value: Value, quantity: str, *, guide: bool) -> str:
    drawn = []
    for c in group:
        marks = [m for m in c.marks if m.norm == norm and value(m).total and value(m).low > 1 and _margin(c, m) > 0]
        if len(marks) >= 2:
            drawn.append((c, marks))
    drawn = drawn[:MOST]
    if not drawn:
        return ""
    xs = [math.log10(_margin(c, m)) for c, marks in drawn for m in marks]
    ys = [math.log10(q - 1) for _, marks in drawn for m in marks for q in (value(m).low, value(m).high)]
    x0, x1 = math.floor(min(xs)), max(math.ceil(max(xs)), math.floor(min(xs)) + 1)
    y0, y1 = math.floor(min(ys)), max(math.ceil(max(ys)), math.floor(min(ys)) + 1)

    def place(margin: float, excess: float) -> tuple[float, float]:
        x = LEFT + (math.log10(margin) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        y = TOP + (y1 - math.log10(excess)) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    parts = [_axes(x0, x1, y0, y1, place, quantity)]
    if guide:
        # From the corner that it leaves last: a gap of 1 at a margin of 1, shifted into the frame.
        shift = max(y1 + x0, min(y0 + x1, 0))
        ends = [place(10.0**x, 10.0 ** (shift - x)) for x in (max(x0, shift - y1), min(x1, shift - y0))]
        parts.append(f'<polyline points="{_points(ends)}" fill="none" stroke="#888" stroke-dasharray="5 4"/>')
    for i, (c, marks) in enumerate(drawn):
        colour = COLOURS[i]
        low = [place(_margin(c, m), value(m).low - 1) for m in marks]
        high = [place(_margin(c, m), value(m).high - 1) for m in marks]
        middle = [place(_margin(c, m), value(m).median - 1) for m in marks]
        parts.append(f'<polygon points="{_points(low + high[::-1])}" fill="{colour}" opacity="0.15"/>')
        parts.append(f'<polyline points="{_points(middle)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 14 + 30 * i
        name, more = f"{c.cell.parameterization}{c.cell.width_label}", f"scale={c.cell.scale:g}"
        if c.cell.steps is not None:
            name, more = f"{name} {c.cell.steps.optimizer}", c.cell.steps.label.partition(" ")[2]
        parts.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 30}" y="{y}">{escape(_short(name))}</text>')
        parts.append(f'<text x="{WIDTH - RIGHT + 30}" y="{y + 13}">{escape(_short(more))}</text>')
    title = escape(f"{quantity} in the {norm} norm against margin", quote=True)
    dashed = "; dashed: slope -1" if guide else ""
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg><figcaption>{escape(quantity.capitalize())} in the {escape(norm)} norm, median and "
        f"10–90 % band of the runs that reached each mark{dashed}{_note(group, drawn)}.</figcaption></figure>"
    )


def _note(group: Sequence[CellOutcome], drawn: Sequence[tuple[CellOutcome, list[MarkOutcome]]]) -> str:
    return "" if len(drawn) < MOST or len(group) == len(drawn) else f"; the first {MOST} cells are drawn"


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"


_LETTERS: Final = 27


def _axes(
    x0: int, x1: int, y0: int, y1: int, place: Callable[[float, float], tuple[float, float]], quantity: str
) -> str:
    parts = []
    for k in range(x0, x1 + 1):
        (x, bottom), (_, top) = place(10.0**k, 10.0**y0), place(10.0**k, 10.0**y1)
        parts.append(f'<line class="axis" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">1e{k}</text>')
    step = max(1, (y1 - y0) // 6)
    for k in range(y0, y1 + 1, step):
        (left, y), (right, _) = place(10.0**x0, 10.0**k), place(10.0**x1, 10.0**k)
        parts.append(f'<line class="axis" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">1e{k}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">margin</text>')
    parts.append(f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})">{escape(quantity)}</text>')
    return "".join(parts)


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in pairs)

"""Phase diagrams as tables: a share with its interval in every field, readable without the colour."""

from collections.abc import Sequence
from html import escape

from marginflow import rounding
from marginflow.pages.parts import badge, head, scrolling, table
from marginflow.study.outcome.outcome import CellOutcome
from marginflow.study.outcome.shares import Share
from marginflow.study.page.names import brief_titles, cell_name, colour, model_words, titles


Placed = tuple[int, CellOutcome]
"""A cell with its place in the outcome."""


def phase_diagrams(cells: Sequence[CellOutcome]) -> str:
    """Start scale against model, one table per problem: the share of runs that reach the minimal loss."""
    named = titles([c.cell for c in cells])
    return "".join(_diagram(label, named[label], group) for label, group in by_problem(cells).items())


def _diagram(label: str, title: str, group: Sequence[Placed]) -> str:
    scales = sorted({c.cell.scale for _, c in group})
    rows = {model_words(c.cell): c.cell for _, c in group}
    at = {(model_words(c.cell), c.cell.scale): (i, c) for i, c in group}
    beside = [c for _, c in group]
    body = ""
    for words, cell in rows.items():
        fields = "".join(f"<td>{_field(at.get((words, scale)))}</td>" for scale in scales)
        body += f'<tr><th scope="row">{badge(words, colour(cell, beside))}</th>{fields}</tr>'
    columns = head(["model", *(f"scale {scale:g}" for scale in scales)])
    inside = scrolling(f'<table class="phase">{columns}<tbody>{body}</tbody></table>', title, free=True)
    return f'<div><h3>{escape(title)}</h3><p class="spec muted">{escape(label)}</p>{inside}</div>'


def by_problem(cells: Sequence[CellOutcome]) -> dict[str, list[Placed]]:
    """The cells, with their places, under the name of their problem."""
    out: dict[str, list[Placed]] = {}
    for i, c in enumerate(cells):
        out.setdefault(c.cell.data_label, []).append((i, c))
    return out


def separability(cells: Sequence[CellOutcome]) -> str:
    """Constraints over dimensions, separable or not: how far the data alone decide."""
    rows = []
    named = brief_titles([c.cell for c in cells])
    for c in sorted(cells, key=lambda c: c.load):
        if c.separable is None:
            continue
        unseparable = c.separable.total - c.separable.count
        minimal = c.shares["minimal_loss"].count - c.shares_separable["minimal_loss"].count
        rows.append(
            [
                cell_name(c.cell, cells, named),
                str(c.constraints),
                str(c.unknowns),
                f"{c.load:.3g}",
                interval(c.separable),
                interval(c.shares_separable["minimal_loss"]),
                f"{minimal} of {unseparable}",
            ]
        )
    if not rows:
        return "<p>No SVM was solved in this study.</p>"
    names = ["cell", "constraints", "weights", "ratio", "separable", "minimal loss, if separable"]
    caption = "Constraints and weights are those of the first run. Separable: by weights of the model's own shape."
    found = table([*names, "minimal loss, if not"], rows, caption=caption, look="stack cells")
    return scrolling(found, "constraints over dimensions")


def interval(share: Share) -> str:
    """A share with its interval, in per cent."""
    if share.total == 0:
        return "none"
    return f"{100 * share.value:.0f} % {rounding.percent(share.lower, share.upper)}"


def _field(found: Placed | None) -> str:
    if found is None:
        return ""
    i, c = found
    share = c.shares["minimal_loss"]
    label = escape(f"{c.cell.label}: show seeds", quote=True)
    if share.total == 0:
        return f'<button type="button" class="empty" data-cell="{i}" aria-label="{label}">no result</button>'
    drawn = ";".join(f"--{name}:{value:.3f}" for name, value in zip(_DRAWN, _values(share), strict=True))
    return (
        f'<button type="button" data-cell="{i}" style="{drawn}" title="{label}"><b>{100 * share.value:.0f} %</b> '
        f"<small>{rounding.percent(share.lower, share.upper)} of {share.total}</small></button>"
    )


_DRAWN = ("share", "lower", "upper")


def _values(share: Share) -> tuple[float, float, float]:
    return share.value, share.lower, share.upper

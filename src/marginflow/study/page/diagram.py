"""Phase diagrams as tables: a share with its interval in every field, readable without the colour."""

from collections.abc import Sequence
from html import escape

from marginflow import rounding
from marginflow.study.outcome.outcome import CellOutcome
from marginflow.study.outcome.shares import Share


def phase_diagrams(cells: Sequence[CellOutcome]) -> str:
    """Start scale against width, one table per problem: the share of runs that reach the minimal loss."""
    out = []
    for name, group in by_problem(cells).items():
        scales = sorted({c.cell.scale for _, c in group})
        rows = list(dict.fromkeys(_model(c) for _, c in group))
        at = {(_model(c), c.cell.scale): (i, c) for i, c in group}
        head = "".join(f'<th scope="col">{scale:g}</th>' for scale in scales)
        body = ""
        for row in rows:
            fields = "".join(f"<td>{_field(at.get((row, scale)))}</td>" for scale in scales)
            body += f'<tr><th scope="row">{escape(row)}</th>{fields}</tr>'
        out.append(
            f'<h3>{escape(name)}</h3><div class="scroll"><table class="phase"><caption>rows: model and '
            "width; columns: scale of the start</caption>"
            f'<thead><tr><th scope="col">model</th>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )
    return "\n".join(out)


def by_problem(cells: Sequence[CellOutcome]) -> dict[str, list[tuple[int, CellOutcome]]]:
    """The cells, with their places, under the name of their problem."""
    out: dict[str, list[tuple[int, CellOutcome]]] = {}
    for i, c in enumerate(cells):
        out.setdefault(c.cell.data_label, []).append((i, c))
    return out


def separability(cells: Sequence[CellOutcome]) -> str:
    """Constraints over dimensions, separable or not: how far the data alone decide."""
    rows = sorted(enumerate(cells), key=lambda pair: (pair[1].load, pair[0]))
    body = ""
    for _, c in rows:
        if c.separable is None:
            continue
        unseparable = c.separable.total - c.separable.count
        minimal = c.shares["minimal_loss"].count - c.shares_separable["minimal_loss"].count
        body += (
            f'<tr><td class="text">{escape(c.cell.label)}</td><td>{c.constraints}</td><td>{c.unknowns}</td>'
            f"<td>{c.load:.3g}</td><td>{interval(c.separable)}</td>"
            f"<td>{interval(c.shares_separable['minimal_loss'])}</td><td>{minimal} of {unseparable}</td></tr>"
        )
    if not body:
        return "<p>No SVM was solved in this study.</p>"
    return (
        '<div class="scroll"><table><caption>Constraints and weights are those of the first run. Separable: '
        "by weights of the model's own shape.</caption>"
        "<thead><tr><th>cell</th><th>constraints</th><th>weights</th><th>ratio</th><th>separable</th>"
        "<th>minimal loss, if separable</th><th>minimal loss, if not</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def interval(share: Share) -> str:
    """A share with its interval, in per cent."""
    if share.total == 0:
        return "none"
    return f"{100 * share.value:.0f} % {rounding.percent(share.lower, share.upper)}"


def _model(c: CellOutcome) -> str:
    return c.cell.how_label


def _field(found: tuple[int, CellOutcome] | None) -> str:
    if found is None:
        return ""
    i, c = found
    share = c.shares["minimal_loss"]
    label = escape(f"{c.cell.label}: show seeds", quote=True)
    if share.total == 0:
        return f'<button class="empty" data-cell="{i}" aria-label="{label}">no result</button>'
    return (
        f'<button data-cell="{i}" style="--share:{share.value:.3f}" title="{label}">{100 * share.value:.0f} %'
        f"<small>{rounding.percent(share.lower, share.upper)} of {share.total}</small></button>"
    )

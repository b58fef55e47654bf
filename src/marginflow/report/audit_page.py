"""Saved audits as one self-contained page: sentences first, then the map of heads, then every number."""

import html
import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow import rounding
from marginflow.atomic_file import whole_file
from marginflow.audit.audit import Audit
from marginflow.audit.controls import SENTENCES, interval
from marginflow.audit.on_data import DATA_FIGURES
from marginflow.audit.summary import LABELS
from marginflow.errors import InputError
from marginflow.heads.figures import FIGURES
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, scrolling, table
from marginflow.report.packing import plain
from marginflow.report.wording import listing, number, plural


KIND: Final = Kind("audit", "report/assets", "audit.html", ("audit.js",), "heads", "the heads")

DATA_LABELS: Final = {
    "rank90_on_data": "components for 90 % on data",
    "entropy": "entropy on data, nats",
    "entropy_share": "entropy over its largest",
    "top1": "largest probability",
    "lead": "median lead",
    "max_logit": "largest logit",
    "sink": "share on the first token",
}

LIMITS: Final = (
    "Intervals over heads take heads as independent; heads of a layer share their inputs and their training.",
    "A number off its control says that keys and queries are not paired by chance, not why, and not that a limit "
    "theorem acts: trained heads lead by logits of order 1, far before any limit.",
    "One checkpoint is one model: nothing here is about its family or its training in general.",
    "Figures are of scale × K'Q with norms not folded and rotary positions at offset 0; other distances are in the "
    "saved file and in --json.",
)


def build_audit_report(audits: Sequence[Audit], output: Path, *, progress: Callable[[str], None] | None = None) -> int:
    """Write the page about `audits` to `output` and return its size in bytes.

    Raises:
        InputError: no audit, or a file that cannot be written.
    """
    if not audits:
        raise InputError("report: got no audits; expected at least one saved by `marginflow audit --save`")
    (progress or (lambda text: None))("writing")
    data = render(audits).encode("utf-8")
    with whole_file(output) as draft:
        draft.write_bytes(data)
    return len(data)


def render(audits: Sequence[Audit]) -> str:
    """The whole page."""
    parts = {
        "answers": "".join(_answer(audit) for audit in audits),
        "limits": bullets(LIMITS),
        "tables": "".join(_table(audit, place) for place, audit in enumerate(audits)),
    }
    said = Said(headline(audits), _summary(audits), Again(commands(audits), _AGAIN))
    return KIND.page(said, parts, {"audits": [_data(audit) for audit in audits]})


_AGAIN: Final = (
    "Layers, heads, offsets, samples, positions and queries other than the defaults are to be added as they were given."
)


def headline(audits: Sequence[Audit]) -> str:
    """What is not as chance has it, in one sentence."""
    return "; ".join(f"{audit.family}: {_differs(audit)}" for audit in audits[:_NAMED]) + (
        f"; and {len(audits) - _NAMED} more checkpoints" if len(audits) > _NAMED else ""
    )


_NAMED: Final = 3
"""Checkpoints, and figures of each, that the headline names."""


def _differs(audit: Audit) -> str:
    beside = [c for c in audit.comparisons if c.control == "rotation"]
    if not audit.heads:
        return "no head was measured"
    if not beside or not any(math.isfinite(c.low) for c in beside):
        return f"{plural(len(audit), 'head')}, too few or without draws: no average is compared"
    off = sorted((c for c in beside if c.off), key=lambda c: -abs(math.log(c.ratio)))
    if not off:
        return f"no figure of its {plural(len(audit), 'head')} is shown to differ on average from a random rotation's"
    named = [f"{LABELS[c.figure]} {abs(c.ratio - 1.0):.0%} {'below' if c.ratio < 1.0 else 'above'}" for c in off]
    return f"{listing(named, _NAMED)} what a random rotation of the same keys and queries gives"


def _summary(audits: Sequence[Audit]) -> str:
    heads = sum(len(audit) for audit in audits)
    return f"{plural(heads, 'head')} of {plural(len(audits), 'checkpoint')}, each beside its controls."


def commands(audits: Sequence[Audit]) -> list[str]:
    """The commands that make these audits and this page again."""
    lines, files = [], []
    for place, audit in enumerate(audits):
        words = ["marginflow", "audit", audit.source, "--controls", str(audit.controls), "--seed", str(audit.seed)]
        words += ["--inputs", audit.inputs] if audit.inputs else []
        files.append(f"audit-{place + 1}.npz")
        lines.append(shlex.join([*words, "--save", files[-1]]))
    return [*lines, shlex.join(["marginflow", "report", *files, "-o", "report.html"])]


def _answer(audit: Audit) -> str:
    rows = "".join(f"<li><p>{html.escape(text)}</p></li>" for text in audit.summary)
    title = html.escape(f"{audit.family}: {plural(len(audit), 'head')}")
    cut = " Interrupted: these are the heads measured until then." if audit.interrupted else ""
    sizes = html.escape(
        f"{audit.source}; {audit.controls} draws of each control, seed {audit.seed}"
        f"{'; inputs ' + audit.inputs if audit.inputs else ''}.{cut}"
    )
    return (
        f'<section class="answer"><h2>{title}</h2><p class="sizes">{sizes}</p>'
        f'<ul class="found">{rows}</ul>{_comparisons(audit)}</section>'
    )


def _comparisons(audit: Audit) -> str:
    """The table of figures against controls; empty without draws."""
    if not audit.comparisons:
        return ""
    rows = []
    for c in audit.comparisons:
        span = f"{c.ratio:.3f} {rounding.interval(c.low, c.high, 3)}" if math.isfinite(c.low) else number(c.ratio, 4)
        rows.append(
            [
                html.escape(LABELS[c.figure]),
                html.escape(c.control),
                number(c.trained, 4),
                number(c.expected, 4),
                f"<b>{span}</b>" if c.off else span,
                f"{c.share:.0%}",
                str(c.below),
                str(c.above),
            ]
        )
    heads = ["figure", "control", "measured", "its mean", "ratio [95 % over heads]", "on that side", "below", "above"]
    caption = (
        f"rotation: {SENTENCES['rotation']}; iid: {SENTENCES['iid']}. Means over heads; bold: the interval excludes 1; "
        "below, above: heads outside the central 95 % of their own draws."
    )
    shown = scrolling(table(heads, rows, caption=caption), "figures against controls")
    return f"<details><summary>Figures against controls</summary>{shown}</details>"


def _columns(audit: Audit) -> list[str]:
    labels = [LABELS[name] for name in FIGURES]
    return labels + ([DATA_LABELS[name] for name in DATA_FIGURES] if audit.on_data else [])


def _values(audit: Audit) -> list[list[float | None]]:
    """Every head's row of numbers; None where a head has no data."""
    data = {(d.layer, d.head): d.values.tolist() for d in audit.on_data}
    missing: list[float | None] = [None] * (len(DATA_FIGURES) if audit.on_data else 0)
    return [[plain(v) for v in h.values.tolist()] + data.get((h.layer, h.head), missing) for h in audit.heads]


def _table(audit: Audit, place: int) -> str:
    columns = ["head", *_columns(audit)]
    head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in columns)
    body = ""
    for row, (measured, values) in enumerate(zip(audit.heads, _values(audit), strict=True)):
        name, order = measured.name, measured.layer * 1_000_000 + measured.head
        cells = "".join(
            "<td>–</td>" if value is None else f'<td data-value="{value!r}">{number(value, 5)}</td>' for value in values
        )
        body += (
            f'<tr data-place="{row}"><th scope="row" data-value="{order}"><button type="button">{name}</button></th>'
            f"{cells}</tr>"
        )
    title = f"All heads of {audit.family}"
    every = f'<table class="heads-table" id="table-{place}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return (
        f'<section class="card wide"><h2>{html.escape(title)}</h2>'
        '<p class="note">Click a heading to sort, a head to see it above.</p>'
        f"{scrolling(every, title)}</section>"
    )


def _data(audit: Audit) -> dict[str, Any]:
    data = {(d.layer, d.head): d for d in audit.on_data}
    heads = []
    for measured, values in zip(audit.heads, _values(audit), strict=True):
        own = data.get((measured.layer, measured.head))
        row: dict[str, Any] = {
            "layer": measured.layer,
            "head": measured.head,
            "v": [_short(value) for value in values],
            "pairs": [[_short(n), _short(b)] for n, b in measured.pairs.tolist()],
        }
        for control in ("rotation", "iid"):
            draws = [measured.draws(control)] + (
                [] if not audit.on_data else [None if own is None else getattr(own, control)]
            )
            spans: list[Any] = []
            for block, width in zip(draws, (len(FIGURES), len(DATA_FIGURES)), strict=False):
                spans += [None] * width if block is None else [_span(block[:, k]) for k in range(width)]
            row[control] = spans
        heads.append(row)
    return {"source": audit.source, "figures": _columns(audit), "heads": heads}


def _span(draws: np.ndarray[Any, Any]) -> list[float | None]:
    return [_short(float(draws.mean())), *(_short(end) for end in interval(draws))]


def _short(value: float | None) -> float | None:
    """Seven digits: what a figure can use."""
    found = plain(value)
    return None if found is None else float(f"{found:.7g}")

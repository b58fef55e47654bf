"""Records of training runs as one self-contained page: sentences first, then curves, a map and every number."""

import html
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, scrolling, table
from marginflow.report.packing import pack, plain
from marginflow.report.wording import number, plural
from marginflow.watch.figures import ON_PROBE
from marginflow.watch.record import Record
from marginflow.watch.sentences import LARGE_DRIFT, LARGE_LOGIT, LOW_ENTROPY


KIND: Final = Kind("watch", "report/assets", "watch.html", ("watch.js",), "curves", "the curves")

FIGURES: Final[dict[str, tuple[str, bool, bool, float | None, str]]] = {
    "max_logit": ("largest logit", True, False, LARGE_LOGIT, "The largest logit of any query on the probe."),
    "entropy": ("entropy, nats", True, False, None, "Mean over all queries of the probe."),
    "entropy_share": ("entropy over log T", True, False, LOW_ENTROPY, "1 for a query that attends to all alike."),
    "least_entropy": ("least entropy, nats", False, False, None, "Of the sharpest query."),
    "top1": ("largest probability", True, False, None, "Mean over queries."),
    "lead": ("median lead", False, False, None, "First logit minus second."),
    "least_lead": ("least lead", False, True, None, "First logit minus second, of the query nearest to a tie."),
    "sink": ("first-token share", True, False, None, "Share of queries that attend most to the first token."),
    "effective_rank": ("effective rank", True, False, None, "Of W: exp of the entropy of its singular values."),
    "rank90": ("components for 90 %", False, False, None, "Of the squared singular values of W."),
    "operator": ("operator norm", True, True, None, "The largest singular value of W."),
    "nuclear": ("nuclear norm", False, True, None, "The sum of the singular values of W."),
    "frobenius": ("Frobenius norm", False, True, None, "Of W."),
    "nuclear_over_lead": ("nuclear norm / least lead", True, True, None, "Bounded below by the head's own SVM."),
    "frobenius_over_lead": ("Frobenius norm / least lead", True, True, None, "Bounded below by the head's own SVM."),
    "alignment": ("alignment", True, False, None, "Nuclear norm over its largest for these spectra of K and Q."),
    "commutator": ("commutator", True, False, None, "Of K K' and Q Q'."),
    "balance": ("imbalance by law", True, False, None, "0 where what gradient flow conserves vanishes."),
    "drift": ("drift by law", True, False, LARGE_DRIFT, "Of what gradient flow conserves, since the first record."),
    "keys": ("|K|", True, False, None, "Frobenius norm of the keys' rows."),
    "queries": ("|Q|", True, False, None, "Frobenius norm of the queries' rows."),
}
"""Figure -> label, whether it has a panel, whether on a logarithmic axis, mark, what it is."""

LIMITS: Final = (
    "Logits, entropies and leads are those of the probe; other data have others.",
    "A sentence names the first record past a mark: the step itself lies between it and the record before.",
    "Drift is of what gradient flow conserves; momentum, weight decay and Adam conserve nothing, so that a drift there "
    "says how far a run is from the flow, not that something is wrong.",
    "A record shows what happened, not why; no limit theorem is claimed of a run in the middle of its training.",
)


def build_watch_report(
    records: Sequence[Record],
    sources: Sequence[str],
    output: Path,
    *,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Write the page about `records` to `output` and return its size in bytes.

    Args:
        records: one or more.
        sources: the file of each.
        output: the HTML file; replaced if it exists.
        progress: called with a status text.

    Raises:
        InputError: no record, or a file that cannot be written.
    """
    if not records:
        raise InputError("report: got no records; expected at least one of `marginflow.torch.watch` or a Recorder")
    (progress or (lambda text: None))("writing")
    data = render(records, sources).encode("utf-8")
    with whole_file(output) as draft:
        draft.write_bytes(data)
    return len(data)


def render(records: Sequence[Record], sources: Sequence[str]) -> str:
    """The whole page."""
    parts = {
        "answers": "".join(_answer(record, source) for record, source in zip(records, sources, strict=True)),
        "limits": bullets(LIMITS),
        "tables": "".join(_table(record, source) for record, source in zip(records, sources, strict=True)),
    }
    heads = sum(len(record.names) for record in records)
    summary = f"{plural(heads, 'attention head')} of {plural(len(records), 'training run')}."
    again = Again([shlex.join(["marginflow", "report", *sources, "-o", "report.html"])])
    return KIND.page(Said(headline(records, sources), summary, again), parts, _data(records, sources))


def headline(records: Sequence[Record], sources: Sequence[str]) -> str:
    """The first sentence of each record."""
    said = [f"{r.model or source}: {_small(r.sentences[0])}" for r, source in zip(records, sources, strict=True)]
    more = f" And {len(said) - _NAMED} more." if len(said) > _NAMED else ""
    return " ".join(said[:_NAMED]) + more


_NAMED: Final = 3
"""Records that the headline names."""


def _small(sentence: str) -> str:
    """A sentence as it goes on after a colon."""
    return sentence[:1].lower() + sentence[1:]


def _answer(record: Record, source: str) -> str:
    rows = "".join(f"<li><p>{html.escape(text)}</p></li>" for text in record.sentences)
    title = f"{record.model or source}: {plural(len(record.names), 'head')} to step {int(record.step[-1])}"
    formulas = "; ".join(dict.fromkeys(record.formulas))
    sizes = f"{source}; law {record.law}: gradient flow conserves {formulas}; {plural(len(record), 'record')}."
    return (
        f'<section class="answer"><h2>{html.escape(title)}</h2><p class="sizes">{html.escape(sizes)}</p>'
        f'<ul class="found">{rows}</ul></section>'
    )


def _table(record: Record, source: str) -> str:
    """Layers at the first and the last record, for readers without scripts."""
    shown = ("max_logit", "entropy", "top1", "effective_rank", "alignment", "balance", "drift")
    rows = []
    for layer, places in record.layers.items():
        cells = [html.escape(layer)]
        for name in shown:
            first, last = (float(np.mean(record.figure(name)[k, places])) for k in (0, -1))
            cells.append(f"{number(first, 3)} → {number(last, 3)}")
        rows.append(cells)
    title = f"Layers of {record.model or source}: first record → last"
    found = table(["layer", *(FIGURES[name][0] for name in shown)], rows, caption="Means over heads.", look="stack")
    return f'<section class="card wide"><h2>{html.escape(title)}</h2>{scrolling(found, title)}</section>'


def _data(records: Sequence[Record], sources: Sequence[str]) -> dict[str, Any]:
    figures = [
        {"label": label, "panel": panel, "log": log, "mark": mark, "says": says, "probe": name in ON_PROBE}
        for name, (label, panel, log, mark, says) in FIGURES.items()
    ]
    return {"figures": figures, "records": [_one(r, source) for r, source in zip(records, sources, strict=True)]}


def _one(record: Record, source: str) -> dict[str, Any]:
    shorts = _shorts(list(record.layers))
    return {
        "source": source,
        "names": list(record.names),
        "step": record.step.tolist(),
        "loss": [plain(value) for value in record.loss.tolist()],
        "layers": [
            {"name": layer, "short": short, "heads": places}
            for (layer, places), short in zip(record.layers.items(), shorts, strict=True)
        ],
        "components": record.components.tolist(),
        "values": [pack(record.figure(name)) for name in FIGURES],
        "singular": pack(record.singular),
    }


def _shorts(layers: Sequence[str]) -> list[str]:
    """What tells layers apart: their names without the words that all of them share."""
    words = [layer.split(".") for layer in layers]
    if len(words) < 2 or len({len(w) for w in words}) > 1:
        return [layer[-18:] for layer in layers]
    kept = [k for k in range(len(words[0])) if len({w[k] for w in words}) > 1]
    return [("layer " if len(kept) == 1 and w[kept[0]].isdigit() else "") + ".".join(w[k] for k in kept) for w in words]

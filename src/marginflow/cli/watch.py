"""`marginflow watch`: what a training run's record says, while it trains or after."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer

from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import number, print_json, table


if TYPE_CHECKING:
    from marginflow.watch.record import Record

_FIGURES: Final = {
    "max_logit": "largest logit",
    "entropy": "entropy, nats",
    "top1": "largest probability",
    "least_lead": "least lead",
    "sink": "first-token share",
    "operator": "operator norm",
    "effective_rank": "effective rank",
    "nuclear_over_lead": "nuclear / least lead",
    "frobenius_over_lead": "Frobenius / least lead",
    "alignment": "alignment",
    "commutator": "commutator",
    "balance": "imbalance by law",
    "drift": "drift by law",
    "keys": "|K|",
    "queries": "|Q|",
}
_LARGEST: Final = ("max_logit", "sink", "drift")
_COLUMNS: Final = 8
_LAYERS: Final = 8


def watch(
    file: Annotated[Path, typer.Argument(metavar="RUN.npz", help="A record of marginflow.torch.watch or a Recorder.")],
    json: JsonFlag = False,
) -> int:
    """Show how the attention heads of a training run moved: sentences, then a table for each layer.

    The file may belong to a run that still trains, or that was killed: it is whole after every record.

    Example: marginflow watch RUN.npz
    """
    from marginflow.watch.record import Record

    found = Record.load(file)
    if json:
        print_json(found.to_dict())
    else:
        print(_text(str(file), found))
    return 0


def _text(source: str, record: "Record") -> str:
    model = f"{record.model}, " if record.model else ""
    last = int(record.step[-1])
    formulas = ", ".join(dict.fromkeys(record.formulas))
    lines = [
        f"{source}: {model}{len(record.names)} heads, law {record.law} ({formulas} conserved by gradient flow), "
        f"{len(record)} records to step {last}",
        "",
        *record.sentences,
    ]
    chosen = np.unique(np.linspace(0, len(record) - 1, _COLUMNS).round().astype(int))
    header = ["step", *(str(int(record.step[k])) for k in chosen)]
    lines += ["", table(header, [["loss", *(number(float(record.loss[k]), 4) for k in chosen)]])]
    for layer, places in list(record.layers.items())[:_LAYERS]:
        rows = []
        for name, label in _FIGURES.items():
            values = record.figure(name)[chosen][:, places]
            if not np.isnan(values).all():
                shown = values.max(axis=1) if name in _LARGEST else values.mean(axis=1)
                rows.append([label, *(number(float(value), 3) for value in shown)])
        lines += ["", _title(layer, len(places)), table(header, rows)]
    if len(record.layers) > _LAYERS:
        lines.append(f"... and {len(record.layers) - _LAYERS} more layers (--json lists all, report draws all)")
    return "\n".join(lines)


def _title(layer: str, heads: int) -> str:
    if heads == 1:
        return layer
    return f"{layer}: mean of {heads} heads; of logits, first-token shares and drifts the largest"

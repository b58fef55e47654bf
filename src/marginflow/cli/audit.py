"""`marginflow audit`: the query-key matrices of a checkpoint, head by head, against controls."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import number, print_json, progress, save_path, table
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.audit.audit import Audit

_SHOWN = 24


def audit(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A model's folder, or its .safetensors file.")],
    inputs: Annotated[
        Path | None, typer.Option(help="The layers' inputs: an .npz with layer0, layer1, ... (n, T, D) and mask.")
    ] = None,
    layers: Annotated[str | None, typer.Option(help="Which layers, such as 0,3; default: all.")] = None,
    heads: Annotated[str | None, typer.Option(help="Which heads of each layer, such as 0,3; default: all.")] = None,
    offsets: Annotated[str, typer.Option(help="Distances at which W of rotary heads is measured too.")] = "1,8,64",
    controls: Annotated[int, typer.Option(help="Draws of each control.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the draws and samples.")] = 0,
    samples: Annotated[int, typer.Option(help="At most so many samples of the inputs, drawn with the seed.")] = 256,
    positions: Annotated[
        int, typer.Option(help="Random tokens of each sample that ask, for the rank on data; 0: all.")
    ] = 0,
    queries: Annotated[
        int, typer.Option(help="Queries whose top tokens give the SVM of each head; 0 leaves it out.")
    ] = 12,
    save: Annotated[Path | None, typer.Option(help="Write the audit to this .npz file.")] = None,
    json: JsonFlag = False,
) -> int:
    """Measure every head's W = scale K'Q beside a random rotation of it and beside independent weights.

    Reads safetensors only; nothing of the checkpoint is executed.

    Example: marginflow audit MODEL --save audit.npz
    """
    from marginflow.audit.run import audit as run

    if save is not None:
        save_path(save, path, *([inputs] if inputs is not None else []))
    with progress("audit") as show:
        found = run(
            path,
            inputs,
            controls=controls,
            seed=seed,
            layers=_indices("--layers", layers),
            heads=_indices("--heads", heads),
            offsets=_numbers("--offsets", offsets),
            samples=samples,
            positions=positions,
            queries=queries,
            progress=show,
            keep_partial=True,
        )
    if save is not None and found.heads:
        found.save(save)
    if json:
        print_json(found.to_dict())
    else:
        print(_text(found))
        if save is not None and found.heads:
            print(f"saved  {save}")
    return 130 if found.interrupted else 0


def _text(found: "Audit") -> str:
    header = ["head", "nuclear", "frobenius", "operator", "eff. rank", "rank90", "imbalance", "alignment", "commutator"]
    rows = [[h.name, *(number(v, 4) for v in h.values)] for h in found.heads[:_SHOWN]]
    lines = [f"{found.source}: {found.family}, {len(found)} heads, law {found.law} ({found.formula})", ""]
    lines += [*found.summary, "", table(header, rows)]
    if len(found) > _SHOWN:
        lines.append(f"... and {len(found) - _SHOWN} more (--json lists all)")
    if found.interrupted:
        lines.append("interrupted: these are the heads measured until then")
    return "\n".join(lines)


def _indices(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option}: got {text!r}; expected indices such as 0,3") from None


def _numbers(option: str, text: str) -> Sequence[float]:
    try:
        found = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        found = [float("nan")]
    if not all(abs(value) < 1e9 for value in found):
        raise InputError(f"{option}: got {text!r}; expected distances such as 0,1,8,64")
    return found

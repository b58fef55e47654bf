"""`marginflow attractors`: every place where training can end, before any training."""

import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marginflow import rounding
from marginflow.cli import completion
from marginflow.cli.arguments import DataArgument, JsonFlag, ParameterizationOption, WidthOption
from marginflow.cli.output import number, output_path, print_json, progress, save_path, table
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.attractors.attractors import Attractor, Attractors
    from marginflow.attractors.product import EndsOfHeads, JointEnd


def attractors(
    data: DataArgument,
    parameterization: ParameterizationOption = "kq",
    width: WidthOption = None,
    sample: Annotated[
        int | None, typer.Option(help="Also integrate this many starts per scale and count where they end.")
    ] = None,
    scale: Annotated[
        list[float] | None, typer.Option(help="Standard deviation of the starts; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="First seed of the starts.")] = 0,
    until_margin: Annotated[float, typer.Option(help="Where the tokens of a sampled run are read.")] = 1e8,
    tol: Annotated[float, typer.Option(help="Certified relative gap of each SVM.")] = 1e-9,
    limit: Annotated[
        int | None, typer.Option(help="Partial selections to look at before giving up as incomplete.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="Of which the excess is told: exponential, logistic.", autocompletion=completion.losses),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a picture (.svg, .png, .pdf): ends by start scale.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page: ends by samples, shares, numbers.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="Run the parts of the search on: serial, processes or dask.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, or workers of a Dask cluster here.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep finished parts of the search in this .npz: the same command goes on.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """List the selections of tokens where training can end, and how often sampled starts meet each.

    Example: marginflow attractors sphere:n=4,T=4,d=8,seed=2 --parameterization w
    """
    from marginflow.attractors.find import attractors as find
    from marginflow.model.registry import parse_parameterization
    from marginflow.problem.named import load
    from marginflow.study.engines.choose import make_engine

    problem = load(data)
    model = parse_parameterization(parameterization, width)
    for file in (figure, page):
        if file is not None:
            output_path(file, data)
    if keep is not None:
        save_path(keep, data)
    if engine is None and (workers is not None or scheduler is not None):
        raise InputError("--workers, --scheduler: got one without --engine; expected --engine processes or dask")
    unfinished = "nothing is saved" if keep is None else f"{keep} keeps its finished parts: the same command goes on"
    with progress(f"attractors {parameterization}", f"no list is complete, and {unfinished}") as show:
        found = find(
            problem,
            model,
            sample=sample,
            scales=tuple(scale) if scale else (0.1,),
            seed=seed,
            tol=tol,
            limit=limit,
            until_margin=until_margin,
            loss=loss,
            processes=min(2, os.cpu_count() or 1),
            engine=None if engine is None else make_engine(engine, workers=workers, scheduler=scheduler),
            keep=keep,
            progress=show,
        )
    if figure is not None:
        from marginflow.figures.attractors import draw_shares

        draw_shares(found, figure)
    if page is not None:
        from marginflow.report.attractors_page import build_attractors_report

        options: dict[str, object] = {"--parameterization": parameterization, "--width": width, "--sample": sample}
        options |= {"--seed": seed, "--until-margin": until_margin, "--tol": tol, "--limit": limit, "--loss": loss}
        build_attractors_report(found, page, _again(data, options, scale or []))
    if json:
        print_json(found.to_dict())
    else:
        print(_text(found))
        if figure is not None:
            print(f"saved            {figure}")
        if page is not None:
            print(f"saved            {page}")
    return 0


def _again(data: str, options: dict[str, object], scales: Sequence[float]) -> str:
    """The command that makes a page again."""
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += [word for scale in scales for word in ("--scale", str(scale))]
    return shlex.join(["marginflow", "attractors", data, *words, "--html", "attractors.html"])


def _text(found: "Attractors | EndsOfHeads") -> str:
    from marginflow.attractors.product import EndsOfHeads

    lines = [
        f"{found.problem.name}, {found.parameterization.word}: {found.visited} partial selections looked at",
        found.sentence,
        f"complete         {'yes' if found.complete else 'no: ' + '; '.join(found.incomplete_because)}",
        f"finite ends      {'excluded' if found.infinite else 'not excluded'}",
    ]
    if isinstance(found, EndsOfHeads):
        for h, own in enumerate(found.heads):
            # What a head's wrong token costs depends on the other heads: told of joint ends only.
            lines += ["", f"head {h}:", _ends(own, own.attractors, of_head=True), *_undecided(own)]
        lines += ["", f"all heads together: {found.count} ends", _ends(found, found.attractors), *_unlisted(found)]
        if found.elsewhere:
            lines.append(f"{found.elsewhere} runs were not yet in an attractor")
    else:
        lines += ["", _ends(found, found.attractors), *_undecided(found)]
        if found.elsewhere:
            lines.append(f"{len(found.elsewhere)} runs were not yet in an attractor, e.g. {found.elsewhere[0].reason}")
    if found.missing is not None:
        lines.append(
            f"at most {rounding.text_up(found.missing, 3)} of the starts end in ways the runs did not show (95 %)"
        )
    return "\n".join(lines)


def _ends(found: "Attractors | EndsOfHeads", ends: "Sequence[Attractor | JointEnd]", *, of_head: bool = False) -> str:
    """The table of `ends`, with what the rest of them is."""
    header = ["selected", "loss", f"{found.parameterization.flow_norm} value", "gap", "stability"]
    header[2:2] = [] if of_head else ["excess"]
    header += [f"share at {s:g}" for s in found.scales]
    rows = []
    for end in ends[:_SHOWN]:
        row = [
            ",".join(map(str, end.selected.tolist())),
            ("best" if of_head else "minimal") if end.optimal else "trap",
            *([] if of_head else [number(end.excess)]),
            number(end.value, 10),
            "KKT point" if math.isnan(end.gap) else rounding.text_up(end.gap, 1),
            "no better token" if end.optimal else f"{number(end.stability)} > 1",
        ]
        for s in end.shares:
            low, high = s.interval
            row.append(f"{s.value:.3f} {rounding.interval(low, high, 3)}")
        rows.append(row)
    more = f"\n... and {len(ends) - _SHOWN} more (--json lists all)" if len(ends) > _SHOWN else ""
    return table(header, rows) + more


def _undecided(found: "Attractors") -> list[str]:
    return [f"undecided: {d.selected.tolist()}: {d.reason}" for d in found.undecided[:_SHOWN]]


def _unlisted(found: "EndsOfHeads") -> list[str]:
    if found.listed:
        return []
    return ["too many to write out: shown are the minimal loss and those that sampled runs met"]


_SHOWN = 20

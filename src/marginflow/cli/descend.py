"""`marginflow descend`: train by the steps that people use, and say which norm that led to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginflow.cli import completion
from marginflow.cli.arguments import DataArgument, JsonFlag, ParameterizationOption, TrainingLoss, WidthOption
from marginflow.cli.output import number, print_json, progress, save_path
from marginflow.cli.run_files import keep, read_start


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


def descend(
    data: DataArgument,
    parameterization: ParameterizationOption = "kq",
    optimizer: Annotated[
        str,
        typer.Option(
            help="gd:momentum=0.9,nesterov=true, ngd, ngd-separate, sign:momentum=0.9, spectral:momentum=0.95, "
            "nuclear, coordinate, adam:b1=0.9,b2=0.95,eps=0 ... or module:Class of your own.",
            autocompletion=completion.optimisers,
        ),
    ] = "gd",
    rate: Annotated[
        str,
        typer.Option(
            help="A number, power:ETA,A, or speed:RHO (the margin grows RHO a step).", autocompletion=completion.rates
        ),
    ] = "speed:0.03",
    decay: Annotated[
        str | None, typer.Option(help="l2:LAM or decoupled:LAM.", autocompletion=completion.decays)
    ] = None,
    iterations: Annotated[int, typer.Option(help="Steps at most.")] = 10_000,
    until_margin: Annotated[float | None, typer.Option(help="Stop at the first iterate of this margin.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples drawn for each step; all by default.")] = None,
    width: WidthOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the random start and of mini-batches.")] = 0,
    scale: Annotated[float, typer.Option(help="Standard deviation of the random start.")] = 0.1,
    init: Annotated[
        Path | None, typer.Option(help="Start from an .npz with arrays K, Q | W | k, q | beta instead.")
    ] = None,
    loss: TrainingLoss = None,
    save: Annotated[Path | None, typer.Option(help="Write the trajectory to this .npz file.")] = None,
    json: JsonFlag = False,
) -> int:
    """Train by discrete steps and measure the run against the certified optimum of each norm.

    Example: marginflow descend equal:n=6,T=8,d=10,seed=3 --parameterization kq --optimizer ngd --iterations 2000
    """
    from marginflow.model.registry import parse_parameterization
    from marginflow.optim.descend import descend as run
    from marginflow.problem.named import load

    problem = load(data)
    model = parse_parameterization(parameterization, width)
    start = None if init is None else read_start(init, model)
    if save is not None:
        save_path(save, data, *([] if init is None else [init]))
    with progress(f"descend {optimizer}", "nothing is saved") as show:
        path = run(
            problem,
            model,
            optimizer,
            rate=rate,
            decay=decay,
            iterations=iterations,
            until_margin=float("inf") if until_margin is None else until_margin,
            batch=batch,
            seed=seed,
            scale=scale,
            init=start,
            loss=loss,
            progress=lambda now: show(f"step {now.iteration} of {now.iterations}, margin {now.margin:.3g}"),
            keep_partial=save is not None,
        )
    keep(path, save)
    found = summary(path)
    if json:
        print_json(found)
    else:
        print(_text(found, path))
        if save is not None:
            print(f"saved            {save}")
    return 1 if path.status.name == "undecided" else 0


def summary(path: "Trajectory") -> dict[str, Any]:
    """The fields of `descend --json` at the last snapshot, and what explains them."""
    import numpy as np

    from marginflow.diagnostics.gaps import gaps, margin_speed
    from marginflow.diagnostics.ratio import final_ratio

    W = path.W(-1)
    singular = np.linalg.svd(W, compute_uv=False)
    found = gaps(path)
    heads = range(len(next(iter(found.values())).heads))
    return {
        "status": path.status.name,
        "reason": path.reason,
        "proof": path.verdict.proof,
        "problem": path.problem.name,
        "parameterization": path.parameterization.word,
        "method": path.method.label,
        "command": path.method.command,
        "margin": float(path.margin[-1]),
        "log_excess": float(path.log_excess[-1]),
        "iterations": path.steps,
        "ended": path.ended.name,
        "nuclear": float(singular.sum()),
        "frobenius": float(np.linalg.norm(W)),
        "operator": float(singular.max(initial=0.0)),
        "entry_linf": float(np.abs(W).max(initial=0.0)),
        "entry_l1": float(np.abs(W).sum()),
        "gaps": {name: float(gap.values[-1]) for name, gap in found.items()},
        "gaps_missing": {name: gap.reason for name, gap in found.items() if gap.reason},
        "gaps_by_head": [{name: float(gap.heads[h].values[-1]) for name, gap in found.items()} for h in heads],
        "predicted": path.method.norm,
        "why": path.method.why,
        "norm": path.norm,
        "ratio": final_ratio(path),
        "speed": margin_speed(path),
        "selected": path.selected(-1),
        "optimal": path.problem.optimal,
    }


def _text(f: dict[str, Any], path: "Trajectory") -> str:
    wrong = [i for i, (s, o) in enumerate(zip(f["selected"], f["optimal"], strict=True)) if s != o]
    lines = [
        f"{f['problem']}, {f['parameterization']}, {f['method']}: {f['iterations']} steps",
        path.verdict.sentence,
        f"reason           {f['reason']}",
        f"least margin     {number(f['margin'])}",
        f"margin a step    {number(f['speed'], 4)}",
        f"log excess       {number(f['log_excess'])}",
        f"optimal tokens   {len(f['selected']) - len(wrong)} of {len(f['selected'])} samples"
        + (f"; not in samples {wrong[:10]}" if wrong else ""),
        f"predicted norm   {f['predicted'] or 'none'}: {f['why']}",
        "gap to the certified least norm of this margin:",
    ]
    for name, gap in f["gaps"].items():
        note = "  <- predicted" if name == f["predicted"] else ""
        if name in f["gaps_missing"]:
            lines.append(f"  {name:14} -  ({f['gaps_missing'][name]})")
        else:
            lines.append(f"  {name:14} {number(None if gap != gap else 100.0 * gap, 4)} %{note}")
    if f["gaps_by_head"]:
        lines.append("gap of each head to its own, at its own least margin:")
        for name in f["gaps"]:
            each = [own[name] for own in f["gaps_by_head"]]
            lines.append(f"  {name:14} " + ", ".join(f"{number(None if g != g else 100.0 * g, 4)} %" for g in each))
    lines += [f"ratio R ({f['norm']}) {number(f['ratio'], 8)}", f"repeat with      {f['command']}"]
    return "\n".join(lines)

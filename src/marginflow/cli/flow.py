"""`marginflow flow`: train to the end and say where the training went."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from marginflow.cli.arguments import DataArgument, JsonFlag, ParameterizationOption, TrainingLoss, WidthOption
from marginflow.cli.output import number, print_json, progress, save_path, table
from marginflow.cli.run_files import keep, read_start
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.model.parameterization import AbstractParameterization
    from marginflow.problem.problem import Problem
    from marginflow.trajectory.trajectory import Trajectory


def flow(
    data: DataArgument,
    parameterization: ParameterizationOption = "kq",
    width: WidthOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the random start.")] = 0,
    seeds: Annotated[
        str | None, typer.Option(help="Many runs, one per seed, such as 0-19 or 0,3,5; instead of --seed.")
    ] = None,
    scale: Annotated[float, typer.Option(help="Standard deviation of the random start.")] = 0.1,
    init: Annotated[
        Path | None, typer.Option(help="Start from an .npz with arrays K, Q | W | k, q | beta instead.")
    ] = None,
    until_margin: Annotated[float, typer.Option(help="Stop when the acting margins reach this.")] = 1e6,
    until: Annotated[
        Literal["margin", "verdict"], typer.Option(help="verdict: stop as soon as the verdict is certain.")
    ] = "margin",
    loss: TrainingLoss = None,
    rtol: Annotated[float, typer.Option(help="Relative tolerance of the integration.")] = 1e-6,
    resume: Annotated[
        bool, typer.Option("--resume", help="DATA is a saved run: go on with it, to the bits it would have had.")
    ] = False,
    save: Annotated[Path | None, typer.Option(help="Write the trajectory to this .npz file.")] = None,
    json: JsonFlag = False,
) -> int:
    """Integrate the gradient flow and give a verdict: minimal loss, trapped or undecided.

    Example: marginflow flow digits --parameterization kq --until-margin 1e6
    """
    from marginflow.cli.resumed import resumed
    from marginflow.flow.integrate import integrate
    from marginflow.model.registry import parse_parameterization
    from marginflow.problem.named import load

    if save is not None:
        save_path(save, data, *([] if init is None else [init]))
    if resume:
        asked: dict[str, tuple[Any, Any]] = {"--parameterization": (parameterization, "kq"), "--seed": (seed, 0)}
        asked |= {"--width": (width, None)}
        asked |= {"--seeds": (seeds, None), "--scale": (scale, 0.1), "--init": (init, None)}
        asked |= {"--loss": (loss, None), "--rtol": (rtol, 1e-6)}
        with progress("flow --resume", "there is no verdict, and nothing is saved") as show:
            path = resumed(data, asked, show, until_margin=until_margin, until=until, keep_partial=save is not None)
        return _told(path, save, json)
    problem = load(data)
    model = parse_parameterization(parameterization, width)
    if seeds is not None:
        if save is not None or init is not None:
            raise InputError("--seeds: got it with --save or --init, which are of one run; give --seed")
        options = {"scale": scale, "until_margin": until_margin, "until": until, "loss": loss, "rtol": rtol}
        return _many(problem, model, _seeds(seeds), options, json)
    start = None if init is None else read_start(init, model)
    with progress(f"flow {parameterization}", "there is no verdict, and nothing is saved") as show:
        path = integrate(
            problem,
            model,
            seed=seed,
            scale=scale,
            init=start,
            until_margin=until_margin,
            until=until,
            loss=loss,
            rtol=rtol,
            keep_partial=save is not None,
            progress=lambda now: show(f"step {now.steps}, margin {now.margin:.3g}"),
        )
    return _told(path, save, json)


def _told(path: "Trajectory", save: Path | None, json: bool) -> int:
    """Save the run where that is asked for, and say what it ended on; exit 1 if that is open."""
    from marginflow.attractors.sentence import known_ends

    keep(path, save)
    ends = known_ends(path.problem, path.parameterization, path.loss)
    found = summary(path) | {"ends": None if ends is None else ends.sentence}
    if json:
        print_json(found)
    else:
        print(_text(found, path))
        if save is not None:
            print(f"saved            {save}")
    return 1 if path.status.name == "undecided" else 0


def _many(
    problem: "Problem", model: "AbstractParameterization", seeds: list[int], options: dict[str, Any], json: bool
) -> int:
    """Runs from many seeds, each with the fields of one; exit 1 if the verdict on any is open."""
    from marginflow.flow.integrate import integrate_many

    with progress(f"flow {model.word}", "there is no verdict on any") as show:
        paths = integrate_many(
            problem,
            model,
            seeds=seeds,
            progress=lambda now: show(f"step {now.steps}, {now.running} of {len(seeds)} runs, margin {now.margin:.3g}"),
            **options,
        )
    runs = [{"seed": seed, **summary(path)} for seed, path in zip(seeds, paths, strict=True)]
    counts = {word: sum(run["status"] == word for run in runs) for word in ("minimal_loss", "trapped", "undecided")}
    if json:
        print_json({"runs": runs, **counts})
    else:
        header = ["seed", "verdict", "least margin", "log excess", "ratio R"]
        rows = [
            [str(r["seed"]), r["status"], number(r["margin"]), number(r["log_excess"]), number(r["ratio"], 7)]
            for r in runs
        ]
        print(table(header, rows))
        print(", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counts.items()))
    return 1 if counts["undecided"] else 0


def _seeds(text: str) -> list[int]:
    """0-19, 0,3,5 or both."""
    out: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise InputError(f"--seeds: got {text!r}; expected seeds such as 0-19 or 0,3,5")
        first, last = int(found[1]), int(found[2] or found[1])
        if last - first >= _MOST_SEEDS:
            raise InputError(f"--seeds: got {text!r}; expected at most {_MOST_SEEDS:,} runs; `study run` takes more")
        out += range(first, last + 1)
    if len(set(out)) != len(out) or len(out) > _MOST_SEEDS:
        raise InputError(f"--seeds: got {text!r}; expected each seed once, at most {_MOST_SEEDS:,}")
    return out


_MOST_SEEDS = 10_000


def summary(path: "Trajectory") -> dict[str, Any]:
    """The fields of `flow --json` at the last snapshot, and what explains them."""
    import numpy as np

    from marginflow.diagnostics.ratio import comparison, least_margin, over_margin
    from marginflow.norms import parse_norm

    seen = comparison(path)
    margin = float(path.margin[-1])
    W = path.W(-1)
    singular = np.linalg.svd(W, compute_uv=False)
    # The carried margin and W's own differ by about rtol; only the latter keeps norm/margin above the SVM value.
    own = least_margin(path.at(-1).constraints, path.at(-1).separating)
    nuclear, frobenius = float(singular.sum()), float(np.sqrt((singular**2).sum()))
    return {
        "status": path.status.name,
        "reason": path.reason,
        "problem": path.problem.name,
        "parameterization": path.parameterization.word,
        "margin": margin,
        "log_excess": float(path.log_excess[-1]),
        "log_time": float(path.log_time[-1]),
        "evaluations": path.evaluations,
        "steps": path.steps,
        "nuclear": nuclear,
        "frobenius": frobenius,
        "lead": seen.lead,
        "norm_over_lead": over_margin(parse_norm(path.norm), seen.W, seen.lead),
        "nuclear_over_margin": nuclear / own if own > 0 else None,
        "frobenius_over_margin": frobenius / own if own > 0 else None,
        "norm": path.norm,
        "ratio": seen.ratio(path.norm),
        "selected": path.selected(-1),
        "optimal": path.problem.optimal,
        "members": None if path.limit is None else path.limit.faces.members,
        "held": None if path.held is None else path.held.faces.members,
        "conserved_drift": path.conserved_drift,
    }


def _text(f: dict[str, Any], path: "Trajectory") -> str:
    wrong = [i for i, (s, o) in enumerate(zip(f["selected"], f["optimal"], strict=True)) if s != o]
    lines = [
        f"{f['problem']}, {f['parameterization']}: {f['steps']} steps, {f['evaluations']} force evaluations",
        path.verdict.sentence,
        f"reason           {f['reason']}",
        f"least margin     {number(f['margin'])}",
        f"log t            {number(f['log_time'])}",
        f"log excess       {number(f['log_excess'])}",
    ]
    own = path.status.name == "trapped"
    if own:
        lines += [
            f"loss kept        {_loss(path)}",
            f"{f['norm'] + '/lead':17}{number(f['norm_over_lead'])}  (lead: the least margin over worse tokens)",
        ]
    else:
        lines += [
            f"nuclear/margin   {number(f['nuclear_over_margin'])}",
            f"Frobenius/margin {number(f['frobenius_over_margin'])}",
        ]
    which = "of its own tokens" if own else "solution"
    lines += [
        f"ratio R ({f['norm']}) {number(f['ratio'], 10)}  (1 exactly at the {f['norm']} SVM {which})",
        f"optimal tokens   {len(f['selected']) - len(wrong)} of {len(f['selected'])} samples"
        + (f"; not in samples {wrong[:10]}" if wrong else "")
        if path.limit is None
        else f"faces            {path.limit.faces!r}",
        *([] if path.held is None else [f"held at the end  {path.held.faces!r}"]),
        f"conserved drift  {number(f['conserved_drift'], 3)}",
    ]
    if f["ends"]:
        lines.append(f"possible ends    {f['ends']}")
    if own:
        from marginflow.diagnostics.follow_ups import follow_ups

        lines += ["to go on:", *(f"  {command}  # {question}" for question, command in follow_ups(path))]
    return "\n".join(lines)


def _loss(path: "Trajectory") -> str:
    """The loss that a trapped run keeps beside the least one."""
    import numpy as np

    from marginflow.losses import log_minimal_loss

    least = log_minimal_loss(path.problem, path.scalar_loss)
    kept = np.logaddexp(least, float(path.log_excess[-1]))
    return f"{number(float(np.exp(kept)))}, where {number(float(np.exp(least)))} is least"

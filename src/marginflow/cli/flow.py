"""`marginflow flow`: train to the end and say where the training went."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from marginflow.cli.output import DataArgument, JsonFlag, number, output_path, print_json, progress
from marginflow.cli.start import read_start


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


def flow(
    data: DataArgument,
    parameterization: Annotated[str, typer.Option("--parameterization", "-p", help="kq, w, diag-kq or diag.")] = "kq",
    width: Annotated[int | None, typer.Option(help="Columns of K and Q (kq only); default min(d, d_z).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random start.")] = 0,
    scale: Annotated[float, typer.Option(help="Standard deviation of the random start.")] = 0.1,
    init: Annotated[
        Path | None, typer.Option(help="Start from an .npz with arrays K, Q | W | k, q | beta instead.")
    ] = None,
    until_margin: Annotated[float, typer.Option(help="Stop when the acting margins reach this.")] = 1e6,
    until: Annotated[
        Literal["margin", "verdict"], typer.Option(help="verdict: stop as soon as the verdict is certain.")
    ] = "margin",
    loss: Annotated[
        Literal["exponential", "logistic"], typer.Option(help="Of the output times the label.")
    ] = "exponential",
    rtol: Annotated[float, typer.Option(help="Relative tolerance of the integration.")] = 1e-6,
    save: Annotated[Path | None, typer.Option(help="Write the trajectory to this .npz file.")] = None,
    json: JsonFlag = False,
) -> int:
    """Integrate the gradient flow and give a verdict: minimal loss, trapped or undecided.

    Example: marginflow flow digits --parameterization kq --until-margin 1e6
    """
    from marginflow.attractors.sentence import known_ends
    from marginflow.flow.integrate import integrate
    from marginflow.model.registry import parse_parameterization
    from marginflow.problem.named import load

    problem = load(data)
    model = parse_parameterization(parameterization, width)
    start = None if init is None else read_start(init, model)
    if save is not None:
        output_path(save, data, *([] if init is None else [init]))
    with progress(f"flow {parameterization}") as show:
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
            progress=lambda now: show(f"step {now.steps}, margin {now.margin:.3g}"),
        )
    if save is not None:
        path.save(save)
    ends = known_ends(problem, path.parameterization)
    found = summary(path) | {"ends": None if ends is None else ends.sentence}
    if json:
        print_json(found)
    else:
        print(_text(found, path))
        if save is not None:
            print(f"saved            {save}")
    if path.ended == "interrupted":
        return 130
    return 1 if path.status.name == "undecided" else 0


def summary(path: "Trajectory") -> dict[str, Any]:
    """The fields of `flow --json` at the last snapshot, and what explains them."""
    import numpy as np

    from marginflow.diagnostics.ratio import final_ratio

    margin = float(path.margin[-1])
    W = path.W(-1)
    singular = np.linalg.svd(W, compute_uv=False)
    # The carried margin and W's own differ by about rtol; only the latter keeps norm/margin above the SVM value.
    own = float(path.problem.constraints().margins(W).min())
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
        "nuclear_over_margin": nuclear / own if own > 0 else None,
        "frobenius_over_margin": frobenius / own if own > 0 else None,
        "norm": path.norm,
        "ratio": final_ratio(path),
        "selected": path.selected(-1),
        "optimal": path.problem.optimal,
        "conserved_drift": path.conserved_drift,
    }


def _text(f: dict[str, Any], path: "Trajectory") -> str:
    wrong = [i for i, (s, o) in enumerate(zip(f["selected"], f["optimal"], strict=True)) if s != o]
    lines = [
        f"{f['problem']}, {f['parameterization']}: {f['steps']} steps, {f['evaluations']} force evaluations",
        path.status.value,
        f"reason           {f['reason']}",
        f"least margin     {number(f['margin'])}",
        f"log t            {number(f['log_time'])}",
        f"log excess       {number(f['log_excess'])}",
        f"nuclear/margin   {number(f['nuclear_over_margin'])}",
        f"Frobenius/margin {number(f['frobenius_over_margin'])}",
        f"ratio R ({f['norm']}) {number(f['ratio'], 10)}  (1 exactly at the {f['norm']} SVM solution)",
        f"optimal tokens   {len(f['selected']) - len(wrong)} of {len(f['selected'])} samples"
        + (f"; not in samples {wrong[:10]}" if wrong else ""),
        f"conserved drift  {number(f['conserved_drift'], 3)}",
    ]
    if f["ends"]:
        lines.append(f"possible ends    {f['ends']}")
    return "\n".join(lines)

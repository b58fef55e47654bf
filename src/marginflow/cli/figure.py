"""`marginflow figure`: one figure of saved runs, for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from marginflow.cli.output import JsonFlag, output_path, print_json, progress


def figure(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN.npz ...", help="Runs on one problem, saved by `flow --save`.")
    ],
    kind: Annotated[str, typer.Option(help="time, norms, ratio, spectrum, attention, support or balance.")] = "norms",
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .pdf, .svg or .png.")] = Path(
        "figure.pdf"
    ),
    json: JsonFlag = False,
) -> int:
    """Draw a figure one column wide, vector, with fonts embedded; needs matplotlib (extra `paper`).

    Example: marginflow figure kq.npz w.npz --kind norms -o norms.pdf
    """
    from marginflow.figures.runs import save_figure
    from marginflow.trajectory.trajectory import Trajectory

    output_path(output, *runs)
    with progress("figure", f"{output} is not written") as show:
        paths = []
        for file in runs:
            show(f"reading {file}")
            paths.append(Trajectory.load(file))
        show("drawing")
        save_figure(paths, kind, output)
    if json:
        print_json({"figure": str(output), "kind": kind, "runs": len(paths)})
    else:
        print(f"wrote {output}")
    return 0

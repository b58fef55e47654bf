"""`marginflow figure`: one figure of saved runs, for a paper."""

from pathlib import Path
from typing import Annotated

import typer

from marginflow.cli import completion
from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import output_path, print_json, progress


def figure(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN.npz ...", help="Runs on one problem, saved by `flow --save`.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="time, norms, heads, ratio, spectrum, attention, support or balance.",
            autocompletion=completion.figures,
        ),
    ] = "norms",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write: .pdf, .svg, .png, .eps or .pgf.")
    ] = Path("figure.pdf"),
    width: Annotated[float | None, typer.Option(help="Centimetres; default 8.6, a column.")] = None,
    height: Annotated[float | None, typer.Option(help="Centimetres; default what the figure needs.")] = None,
    font: Annotated[
        str | None, typer.Option(help="serif, sans-serif, monospace, or the name of an installed font.")
    ] = None,
    font_size: Annotated[float, typer.Option(help="Points.")] = 8.0,
    json: JsonFlag = False,
) -> int:
    """Draw a figure one column wide, vector, with fonts embedded; needs matplotlib (extra `paper`).

    Example: marginflow figure kq.npz w.npz --kind norms -o norms.pdf
    """
    from marginflow.figures.runs import save_figure
    from marginflow.figures.style import Sheet
    from marginflow.trajectory.trajectory import Trajectory

    output_path(output, *runs)
    sheet = Sheet(width, height, font, font_size)
    with progress("figure", f"{output} is not written") as show:
        paths = []
        for file in runs:
            show(f"reading {file}")
            paths.append(Trajectory.load(file))
        show("drawing")
        left = save_figure(paths, kind, output, sheet=sheet)
    notes = [f"{runs[place]} is left out: {why}" for place, why in left]
    if json:
        print_json({"figure": str(output), "kind": kind, "runs": len(paths) - len(left), "left_out": notes})
    else:
        for note in notes:
            print(f"note: {note}")
        print(f"wrote {output}")
    return 0

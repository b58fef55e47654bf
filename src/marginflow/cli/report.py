"""`marginflow report`: saved runs as one self-contained HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from marginflow.cli.output import JsonFlag, output_path, print_json, progress


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN.npz ...", help="Runs saved by `flow --save`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("report.html"),
    json: JsonFlag = False,
) -> int:
    """Draw saved runs: curves, certified SVM values, attention and what the run does not show.

    Example: marginflow report kq.npz w.npz -o report.html
    """
    from marginflow.report.build import build_report
    from marginflow.trajectory.trajectory import Trajectory

    output_path(output, *runs)
    with progress("report", f"{output} is not written") as show:
        paths = []
        for file in runs:
            show(f"reading {file}")
            paths.append(Trajectory.load(file))
        size = build_report(paths, output, progress=show)
    if json:
        print_json({"report": str(output), "runs": len(paths), "bytes": size})
    else:
        print(f"wrote {output} ({size / 1e6:.1f} MB, {len(paths)} runs)")
    return 0

"""`marginflow export`: a saved run as a table for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import output_path, print_json
from marginflow.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN.npz", help="A run saved by `flow --save` or `descend --save`.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file, .csv or .parquet; default RUN.csv here.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Write a saved run as a table, a row per snapshot: time, margin, excess, norms of W, R.

    Example: marginflow export kq.npz -o kq.csv
    """
    from marginflow.diagnostics.series import series
    from marginflow.frames import write_csv, write_parquet
    from marginflow.trajectory.trajectory import Trajectory

    file = output_path(output or Path(f"{run.stem}.csv"), run)
    writers = {".csv": write_csv, ".parquet": write_parquet}
    if file.suffix.lower() not in writers:
        raise InputError(f"{file}: got suffix {file.suffix!r}; expected {' or '.join(writers)}")
    columns = series(Trajectory.load(run))
    kinds = {name: int if name == "iteration" else float for name in columns}
    rows = [
        [kind(x) if x == x else None for kind, x in zip(kinds.values(), row, strict=True)]
        for row in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
    writers[file.suffix.lower()](kinds, rows, file)
    if json:
        print_json({"file": str(file), "snapshots": len(rows), "columns": list(columns)})
    else:
        print(f"wrote {file} ({len(rows)} snapshots: {', '.join(columns)})")
    return 0

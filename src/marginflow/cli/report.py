"""`marginflow report`: saved runs as one self-contained HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import output_path, print_json, progress
from marginflow.errors import InputError
from marginflow.wording import plural


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN.npz ...", help="Saved runs, audits or records.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("report.html"),
    json: JsonFlag = False,
) -> int:
    """Draw saved runs: curves, certified SVM values, attention and what the run does not show.

    Example: marginflow report kq.npz w.npz -o report.html
    """
    from marginflow.npz import read_npz
    from marginflow.report.build import build_report
    from marginflow.trajectory.trajectory import Trajectory

    output_path(output, *runs)
    words = [str(read_npz(file).get("kind", "")) for file in runs]
    kinds = {word if word in ("audit", "watch") else "run" for word in words}
    if len(kinds) > 1:
        raise InputError("report: got runs, audits or records together; expected one kind: make a page of each")
    if kinds == {"audit"}:
        return _audits(runs, output, json)
    if kinds == {"watch"}:
        return _records(runs, output, json)
    with progress("report", f"{output} is not written") as show:
        paths = []
        for file in runs:
            show(f"reading {file}")
            paths.append(Trajectory.load(file))
        size = build_report(paths, output, progress=show)
    if json:
        print_json({"report": str(output), "runs": len(paths), "bytes": size})
    else:
        print(f"wrote {output} ({size / 1e6:.1f} MB, {plural(len(paths), 'run')})")
    return 0


def _audits(files: list[Path], output: Path, json: bool) -> int:
    from marginflow.audit.files import load_audit
    from marginflow.report.audit_page import build_audit_report

    audits = [load_audit(file) for file in files]
    size = build_audit_report(audits, output)
    if json:
        print_json({"report": str(output), "audits": len(audits), "bytes": size})
    else:
        print(f"wrote {output} ({size / 1e6:.1f} MB, {plural(len(audits), 'audit')})")
    return 0


def _records(files: list[Path], output: Path, json: bool) -> int:
    from marginflow.report.watch_page import build_watch_report
    from marginflow.watch.record import Record

    records = [Record.load(file) for file in files]
    size = build_watch_report(records, [str(file) for file in files], output)
    if json:
        print_json({"report": str(output), "records": len(records), "bytes": size})
    else:
        print(f"wrote {output} ({size / 1e6:.1f} MB, {plural(len(records), 'record')})")
    return 0

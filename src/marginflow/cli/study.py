"""`marginflow study`: many runs from one plan, resumable, on this machine or on a Dask cluster."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginflow import rounding
from marginflow.atomic_file import whole_file
from marginflow.cli import completion
from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import number, output_path, print_json, progress, table
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.study.outcome.outcome import Outcome
    from marginflow.study.outcome.shares import Share
    from marginflow.study.plan.plan import Plan
    from marginflow.study.results.folder import Folder


app = typer.Typer(
    name="study",
    help="Many runs from one plan: how often, how fast, with intervals; resumable at any moment.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY", help="A plan (.toml), or the folder of a study.")]
OutOption = Annotated[Path | None, typer.Option(help="The study's folder; default out/study-NAME beside the plan.")]


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="`study example` prints one.")],
    engine: Annotated[
        str, typer.Option(help="serial, processes or dask.", autocompletion=completion.engines)
    ] = "serial",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler; none: a cluster of our own here.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, or Dask workers of our own; default: the cores we may use.")
    ] = None,
    out: OutOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the runs, time a few, and stop.")] = False,
    json: JsonFlag = False,
) -> int:
    """Run what is missing of a study; what is finished is kept, whatever ends the command.

    Exit code 1: batches were lost, or all runs of a cell failed.

    Example: marginflow study run plan.toml --engine processes
    """
    from marginflow.study.coordinator import run_study
    from marginflow.study.engines.choose import make_engine
    from marginflow.study.results.folder import find_folder

    if out is not None and plan.is_dir():
        raise InputError(f"--out: got {out} with the folder {plan}; expected one of them")
    folder, checked = find_folder(plan, out)
    chosen = make_engine(engine, workers=workers, scheduler=scheduler)
    if dry_run:
        return _dry_run(checked, chosen.workers, json)
    with progress(f"study {checked.name}") as show:
        summary = run_study(
            checked,
            folder,
            chosen,
            say=_say,
            progress=lambda done, batches: show(f"{done} of {batches} batches"),
        )
    for unit, reason in summary.lost:
        _say(
            f"lost: {unit.cell.label}, seeds {unit.first}-{unit.seeds[-1]}: {reason}; "
            "run the study again to try it again"
        )
    found = _outcome(folder.path, None)
    about = {
        "folder": str(folder.path),
        "engine": engine,
        "complete": summary.complete,
        "interrupted": summary.interrupted,
        "found": summary.found,
        "done": summary.done,
        "lost": len(summary.lost),
    }
    _print(found, about, json)
    if summary.interrupted:
        raise KeyboardInterrupt(
            f"{summary.found + summary.done} of {summary.batches} batches are finished and kept, what was "
            f"running is abandoned; resume with: {_again(plan, engine, scheduler, workers, out)}"
        )
    answered = all(cell.failed < cell.runs for cell in found.cells)
    return 0 if summary.complete and answered else 1


@app.command()
def status(study: StudyArgument, out: OutOption = None, json: JsonFlag = False) -> int:
    """How far a study is and what it found so far, cell by cell; also while it runs.

    Example: marginflow study status out/study-example
    """
    found = _outcome(study, out)
    about = {"folder": str(_existing(study, out).path), "complete": found.done == len(found.plan.units)}
    _print(found, about, json)
    return 0


@app.command()
def export(
    study: StudyArgument,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV (the default).")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write Parquet; needs pip install 'marginflow[parquet]'.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; default NAME.csv or NAME.parquet here.")
    ] = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="A row per cell instead: shares, intervals, quantiles, powers.")
    ] = False,
    costs: Annotated[
        bool, typer.Option("--costs", help="Add CPU seconds, engine, worker and versions of each run.")
    ] = False,
    out: OutOption = None,
    json: JsonFlag = False,
) -> int:
    """Write one table, a row per run or per cell. Without --costs, equal studies give equal files.

    Example: marginflow study export out/study-example --csv -o runs.csv
    """
    from marginflow.frames import write_csv, write_parquet
    from marginflow.study.outcome.export import table as export_table
    from marginflow.study.outcome.outcome import outcome
    from marginflow.study.outcome.summary import summary_table

    if csv and parquet:
        raise InputError("export: got --csv and --parquet; expected one of them")
    if cells and costs:
        raise InputError("export: got --cells and --costs; expected one of them; costs are per run")
    folder = _existing(study, out)
    plan = folder.plan()
    file = output or Path(f"{plan.name}.{'parquet' if parquet else 'csv'}")
    output_path(file, study, folder.plan_file, folder.ledger_file)
    with closing(folder.read_ledger(plan, _say)) as ledger:
        if cells:
            columns, rows = summary_table(outcome(plan, ledger))
        else:
            columns, rows = export_table(plan, ledger, costs=costs)
    whole = len(plan.cells) if cells else plan.runs
    (write_parquet if parquet else write_csv)(columns, rows, file)
    if json:
        kind = "cells" if cells else "runs"
        print_json({"file": str(file), kind: len(rows), "of": whole, "columns": list(columns)})
    else:
        print(f"wrote {file} ({len(rows)} of {whole} {'cells' if cells else 'runs'}, {len(columns)} columns)")
    return 0


@app.command()
def report(
    study: StudyArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("study.html"),
    out: OutOption = None,
    json: JsonFlag = False,
) -> int:
    """Draw a study as one self-contained page: phase diagrams, R against margin, costs, failures.

    Example: marginflow study report out/study-example -o study.html
    """
    from marginflow.study.page.page import page

    output_path(output, study)
    found = _outcome(study, out)
    text = page(found)
    with whole_file(output) as draft:
        draft.write_text(text, encoding="utf-8")
    if json:
        print_json({"report": str(output), "cells": len(found.cells), "bytes": len(text.encode())})
    else:
        print(f"wrote {output} ({len(text.encode()) / 1e3:.0f} kB, {len(found.cells)} cells)")
    return 0


@app.command()
def example() -> int:
    """Print a small plan to start from.

    Example: marginflow study example > plan.toml
    """
    from importlib.resources import files

    print((files("marginflow.study") / "example.toml").read_text(encoding="utf-8"), end="")
    return 0


def _say(sentence: str) -> None:
    print(f"marginflow: {' '.join(sentence.split())}", file=sys.stderr)


def _existing(study: Path, out: Path | None) -> "Folder":
    from marginflow.study.results.folder import find_folder

    folder, plan = find_folder(study, out)
    if not folder.plan_file.is_file():
        raise InputError(
            f"{folder.path}: holds no results of {plan.name} yet; `marginflow study run {study}` makes them"
        )
    return folder


def _outcome(study: Path, out: Path | None) -> "Outcome":
    from marginflow.study.outcome.outcome import outcome

    folder = _existing(study, out)
    plan = folder.plan()
    with closing(folder.read_ledger(plan, _say)) as ledger:
        return outcome(plan, ledger)


def _again(plan: Path, engine: str, scheduler: str | None, workers: int | None, out: Path | None) -> str:
    given = {"engine": engine, "scheduler": scheduler, "workers": workers, "out": out}
    options = [f" --{name} {value}" for name, value in given.items() if value is not None]
    return f"marginflow study run {plan}{''.join(options)}"


def _dry_run(plan: "Plan", workers: int, json: bool) -> int:
    from marginflow.study.probe import probe

    with progress("probe") as show:
        estimate = probe(plan, progress=lambda samples: show(f"{samples} cells timed"))
    counts = {"cells": len(plan.cells), "seeds": plan.seeds, "runs": plan.runs, "batches": len(plan.units)}
    failing = [s for s in estimate.samples if s.failure]
    if json:
        timed = [
            {"cell": s.cell.label, "runs": s.runs, "cpu_seconds": s.cpu_seconds, "failure": s.failure}
            for s in estimate.samples
        ]
        costs = {"cpu_seconds": estimate.cpu_seconds, "least": estimate.least, "most": estimate.most}
        print_json(counts | {"workers": workers, "estimate": costs, "probe": timed})
        return 1 if failing else 0
    print(f"{plan.runs:,} runs: {len(plan.cells):,} cells x {plan.seeds:,} seeds, {len(plan.units):,} batches")
    rows = [[s.cell.label, str(s.runs), number(s.per_run, 3)] for s in estimate.samples]
    print(table(["timed cell", "runs", "CPU s per run"], rows))
    print(
        f"estimate: {_duration(estimate.cpu_seconds)} of CPU time ({_duration(estimate.least)} to "
        f"{_duration(estimate.most)} if every cell were like the cheapest or the dearest of these)"
    )
    if workers > 1:
        print(f"on {workers} workers about {_duration(estimate.cpu_seconds / workers)}, if each has a free core")
    for s in failing:
        print(f"every timed run failed: {s.cell.label}: {s.failure}")
    return 1 if failing else 0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _print(found: "Outcome", about: dict[str, Any], json: bool) -> None:
    plan = found.plan
    runs = sum(cell.runs for cell in found.cells)
    if json:
        print_json(
            about
            | {
                "study": plan.name,
                "runs": runs,
                "of": plan.runs,
                "batches": {"done": found.done, "lost": found.lost, "of": len(plan.units)},
                "failed": len(found.failures),
                "cpu_seconds": found.cpu_seconds if found.costed else None,
                "cells": [
                    {
                        "cell": c.cell.label,
                        "runs": c.runs,
                        "failed": c.failed,
                        **{word: _interval(share) for word, share in c.shares.items()},
                        "separable": None if c.separable is None else _interval(c.separable),
                        "evaluations": c.evaluations.median,
                        "ratio": c.ratio.median,
                    }
                    for c in found.cells
                ],
            }
        )
        return
    print(f"{plan.name}: {runs} of {plan.runs} runs, {found.done} of {len(plan.units)} batches in {about['folder']}")
    if found.costed:
        known = "" if found.costed == found.done + found.lost else f" (known for {found.costed} batches)"
        print(f"CPU time {_duration(found.cpu_seconds)}{known}")
    header = ["cell", "runs", "minimal loss", "95 %", "trapped", "undecided", "failed", "median R"]
    rows = []
    for c in found.cells[:LONGEST_TABLE]:
        share = c.shares["minimal_loss"]
        rows.append(
            [
                c.cell.label,
                str(c.runs),
                number(share.value, 3),
                rounding.interval(share.lower, share.upper, 2) if share.total else "-",
                str(c.shares["trapped"].count),
                str(c.shares["undecided"].count),
                str(c.failed),
                number(c.ratio.median, 5),
            ]
        )
    if rows:
        print(table(header, rows))
    if len(found.cells) > LONGEST_TABLE:
        print(f"... and {len(found.cells) - LONGEST_TABLE} more cells; see `study export` and `study report`")
    for cell, seed, reason in found.failures[:5]:
        print(f"failed: {cell.label} seed {seed}: {reason}")
    if len(found.failures) > 5:
        print(f"... and {len(found.failures) - 5} more failures; `study report` lists them")


LONGEST_TABLE = 60


def _interval(share: "Share") -> dict[str, Any]:
    return {
        "count": share.count,
        "of": share.total,
        "share": share.value,
        "lower": share.lower,
        "upper": share.upper,
    }

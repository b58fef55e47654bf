"""A study as one table, a row per run: CSV, or Parquet through DuckDB."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.study.plan.plan import Plan
from marginflow.study.results.ledger import DamagedLedger, Ledger
from marginflow.study.results.record import RunRow, scalars


_COSTS: Final = {"cpu_seconds": float, "engine": str, "worker": str, "versions": str}

_SQL_TYPES: Final = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}


def table(plan: Plan, ledger: Ledger, *, costs: bool = False) -> tuple[dict[str, type], list[list[Any]]]:
    """The columns, with their types, and the rows of a study: cells in the plan's order, seeds ascending.

    Without `costs` the table depends on the plan alone, so that equal studies give equal files. With it each
    run carries its batch's CPU seconds over the batch's runs, and where it ran.

    Raises:
        InputError: the ledger is damaged.
    """
    norms = list(dict.fromkeys(n for cell in plan.cells for n in cell.norms))
    targets = sorted({target for cell in plan.cells for target in cell.targets})
    columns: dict[str, type] = {
        "cell": str,
        "problem": str,
        "parameterization": str,
        "width": int,
        "scale": float,
    }
    if any(cell.steps for cell in plan.cells):
        columns |= {"optimizer": str, "rate": str, "decay": str, "samples": int}
    columns |= {name: kind for name, kind in scalars(RunRow).items() if name != "reason"} | {"reason": str}
    for norm in norms:
        columns |= {f"{norm}_svm": str, f"{norm}_rank": int}
        columns |= {f"{norm}_{name}": float for name in ("lower", "upper", "rho", "power", "ratio")}
        columns |= {
            f"{norm}_{name}_at_{shown(margin)}": float
            for margin in targets
            for name in ("margin", "ratio", "norm_over_margin")
        }
    columns |= _COSTS if costs else {}
    rows = []
    try:
        batches = {row["key"]: row for row in ledger.select("SELECT * FROM batches")}
        for unit in plan.units:
            batch = batches.get(unit.key)
            if batch is not None:
                rows += [[row.get(name) for name in columns] for row in _rows(ledger, batch)]
    except DamagedLedger as damage:
        raise InputError(f"ledger: damaged ({damage}); `marginflow study run` makes it again") from None
    return columns, rows


def shown(margin: float) -> str:
    """A margin in a column's name: short where that is exact."""
    short = f"{margin:g}"
    return short if float(short) == margin else repr(margin)


def to_csv(columns: dict[str, type], rows: list[list[Any]]) -> str:
    """The table as CSV: floats in full, an empty field where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def write_parquet(columns: dict[str, type], rows: list[list[Any]], path: Path) -> None:
    """Write the table as a Parquet file.

    Raises:
        InputError: DuckDB is not installed, or the file cannot be written.
    """
    try:
        import duckdb
    except ImportError:
        raise InputError("--parquet: DuckDB is missing; pip install 'marginflow[parquet]'") from None
    try:
        with whole_file(path) as draft, duckdb.connect(":memory:") as memory:
            layout = ", ".join(f'"{name}" {_SQL_TYPES[kind]}' for name, kind in columns.items())
            memory.execute(f"CREATE TABLE runs ({layout})")
            if rows:
                memory.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * len(columns))})", rows)
            quoted = str(draft).replace("'", "''")
            memory.execute(f"COPY runs TO '{quoted}' (FORMAT parquet)")
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be written ({error}); check folder and disk") from None


def _rows(ledger: Ledger, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    key = (batch["key"],)
    wide: dict[int, dict[str, Any]] = {}
    for svm in ledger.select("SELECT * FROM svms WHERE batch = ?", key):
        row, norm = wide.setdefault(svm["seed"], {}), svm["norm"]
        row |= {f"{norm}_svm": svm["status"], f"{norm}_rank": svm["rank"]}
        row |= {f"{norm}_{name}": svm[name] for name in ("lower", "upper", "rho", "power", "ratio")}
    for mark in ledger.select("SELECT * FROM marks WHERE batch = ?", key):
        row, norm = wide.setdefault(mark["seed"], {}), mark["norm"]
        row |= {
            f"{norm}_{name}_at_{shown(mark['target'])}": mark[name] for name in ("margin", "ratio", "norm_over_margin")
        }
    cost = {name: batch[name] for name in _COSTS}
    if cost["cpu_seconds"] is not None:
        cost["cpu_seconds"] /= batch["seeds"]
    for run in ledger.select("SELECT * FROM runs WHERE batch = ? ORDER BY seed", key):
        yield run | wide.get(run["seed"], {}) | cost

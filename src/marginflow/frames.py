"""Tables for other programs: data frames, CSV, Parquet."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from marginflow.atomic_file import whole_file
from marginflow.errors import InputError


_SQL_TYPES: Final = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}


def data_frame(columns: Mapping[str, Any]) -> Any:
    """`columns`, one sequence each and all of one length, as a pandas frame; polars' where only that is installed.

    Raises:
        InputError: neither is installed.
    """
    for library in ("pandas", "polars"):
        if find_spec(library) is not None:
            return import_module(library).DataFrame(dict(columns))
    raise InputError("to_dataframe: got neither pandas nor polars; pip install 'marginflow[pandas]'")


def row_frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """`rows` as such a frame: a column for every name that some row has, None where others have it not.

    Raises:
        InputError: neither is installed.
    """
    kept = list(rows)
    names = dict.fromkeys(name for row in kept for name in row)
    return data_frame({name: [row.get(name) for row in kept] for name in names})


def to_csv(columns: Mapping[str, type], rows: Sequence[Sequence[Any]]) -> str:
    """The table as CSV: floats in full, an empty field for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def write_csv(columns: Mapping[str, type], rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Write the table as a CSV file, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(to_csv(columns, rows), encoding="utf-8")


def write_parquet(columns: Mapping[str, type], rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Write the table as a Parquet file, whole or not at all.

    Raises:
        InputError: DuckDB is not installed, or the file cannot be written.
    """
    try:
        import duckdb
    except ImportError:
        raise InputError(f"{path}: Parquet needs DuckDB, which is missing; pip install 'marginflow[parquet]'") from None
    try:
        with whole_file(path) as draft, duckdb.connect(":memory:") as memory:
            layout = ", ".join(f'"{name}" {_SQL_TYPES[kind]}' for name, kind in columns.items())
            memory.execute(f"CREATE TABLE runs ({layout})")
            if rows:
                memory.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * len(columns))})", list(rows))
            quoted = str(draft).replace("'", "''")
            memory.execute(f"COPY runs TO '{quoted}' (FORMAT parquet)")
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be written ({error}); check folder and disk") from None

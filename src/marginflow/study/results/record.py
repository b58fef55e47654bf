"""The result of a run, and of a batch as arrays of an .npz file: nothing that a second run would change."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from marginflow.errors import InputError
from marginflow.npz import read_npz, require, write_npz
from marginflow.study.plan.cell import FORMAT, Unit


NAN: Final = math.nan


@dataclass(frozen=True)
class SvmRow:
    """The SVM of one run's problem in one norm, and the end of the run measured in that norm.

    Attributes:
        norm: its name.
        status: optimal, infeasible or inaccurate.
        value, lower, upper: the least norm and its certified bounds; nan, or lower only, when infeasible.
        rho: the largest singular value below 1 of the dual matrix (off-support |b_j| for l1): the share of W
            in that direction is predicted to fall as margin^-(1 - rho) (docs/theory.md 5.2). nan for other
            norms.
        ratio: R of the last snapshot in this norm, nan where R is no bound.
        rank: of the optimal W; -1 where the certificate does not support one.
        power: p of the prediction R - 1 ~ margin^-p for this run, in the norm that its flow minimises (theory 5.1, 5.2,
            5.7); nan where there is none: other norms, runs that do not reach the minimal loss, or no derivation.
    """

    norm: str
    status: str
    value: float
    lower: float
    upper: float
    rho: float
    ratio: float
    rank: int
    power: float = NAN


@dataclass(frozen=True)
class MarkRow:
    """A run at the first snapshot at or beyond a margin of the plan, or nearest to an iteration, in one norm.

    Attributes:
        norm: its name.
        target: the margin of the plan, or the iteration.
        margin: the least margin there; nan when the run ended before.
        log_time: log t there; nan for steps, which have no time.
        ratio: R there.
        norm_over_margin: N(W) / margin there.
    """

    norm: str
    target: float
    margin: float = NAN
    log_time: float = NAN
    ratio: float = NAN
    norm_over_margin: float = NAN


@dataclass(frozen=True)
class RunRow:
    """One run at its end.

    Attributes:
        seed: which.
        status: minimal_loss, trapped or undecided; failed when it raised an error.
        reason: the verdict's, or the error.
        ended: why the run stopped.
        predicted: the norm that the run is expected to minimise; "" for none.
        margin, log_time, log_excess: at the last snapshot.
        ratio: R there in the parameterisation's own norm.
        nuclear, frobenius: norms of W there.
        evaluations, steps: of the force, of the integrator.
        conserved_drift: as of `Trajectory`.
        wrong: samples that are not on their optimal token.
        constraints: of the SVM of the optimal tokens.
        d, d_z: the shape of W.
        svms, marks: one per norm; one per norm and margin.
    """

    seed: int
    status: str
    reason: str
    ended: str = ""
    predicted: str = ""
    margin: float = NAN
    log_time: float = NAN
    log_excess: float = NAN
    ratio: float = NAN
    nuclear: float = NAN
    frobenius: float = NAN
    evaluations: int = 0
    steps: int = 0
    conserved_drift: float = NAN
    wrong: int = -1
    constraints: int = -1
    d: int = -1
    d_z: int = -1
    svms: tuple[SvmRow, ...] = field(default=())
    marks: tuple[MarkRow, ...] = field(default=())


def scalars(row: type[RunRow] | type[SvmRow] | type[MarkRow]) -> dict[str, type]:
    """The columns of a row and their types: str, int or float."""
    return {f.name: kind for f in fields(row) for kind in (str, int, float) if f.type is kind}


def to_arrays(unit: Unit, rows: Sequence[RunRow]) -> dict[str, Any]:
    """The batch as arrays: scalars (B,), svm_* (B, N), mark_* (B, N * M), and what it is the result of.

    A failed run has no SVMs and no marks: its entries are nan, 0 or "".
    """
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "key": unit.key,
        "cell": unit.cell.identity,
        "version": unit.version,
    }
    arrays |= {name: np.array([getattr(r, name) for r in rows], kind) for name, kind in scalars(RunRow).items()}
    arrays |= _table("svm", SvmRow, [r.svms for r in rows])
    arrays |= _table("mark", MarkRow, [r.marks for r in rows])
    return arrays


def _table(prefix: str, row: type[SvmRow] | type[MarkRow], nested: Sequence[Sequence[Any]]) -> dict[str, Any]:
    width = max(len(inner) for inner in nested)
    blank = {str: "", int: 0, float: NAN}
    out: dict[str, Any] = {}
    for name, kind in scalars(row).items():
        padded = [[getattr(x, name) for x in r] + [blank[kind]] * (width - len(r)) for r in nested]
        out[f"{prefix}_{name}"] = np.array(padded, dtype=kind).reshape(len(nested), width)
    return out


def from_arrays(arrays: Mapping[str, Any]) -> list[RunRow]:
    """The rows that `to_arrays` was given.

    Raises:
        KeyError, ValueError, IndexError, TypeError: the arrays are not those of a batch.
    """
    columns = {name: np.asarray(arrays[name], kind).tolist() for name, kind in scalars(RunRow).items()}
    svms, marks = (_rows(arrays, *table) for table in (("svm", SvmRow), ("mark", MarkRow)))
    return [
        RunRow(**dict(zip(columns, values, strict=True)), svms=svm, marks=mark)
        for *values, svm, mark in zip(*columns.values(), svms, marks, strict=True)
    ]


def _rows(arrays: Mapping[str, Any], prefix: str, row: type[Any]) -> list[tuple[Any, ...]]:
    names = scalars(row)
    columns = [np.asarray(arrays[f"{prefix}_{name}"], kind).tolist() for name, kind in names.items()]
    return [
        tuple(row(**dict(zip(names, values, strict=True))) for values in zip(*nested, strict=True) if values[0] != "")
        for nested in zip(*columns, strict=True)
    ]


def write_batch(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write a batch atomically; equal arrays give equal bytes (the archive holds no clock time).

    Raises:
        InputError: the file cannot be written.
    """
    write_npz(path, **arrays)


def read_batch(path: Path) -> tuple[dict[str, Any], list[RunRow]]:
    """The arrays and the rows of a batch file; its name must be the key that it holds.

    Raises:
        InputError: missing, damaged, of another format, or not a batch.
    """
    arrays = read_npz(path)
    require(path, arrays, "format", "key", "cell", "version", *scalars(RunRow))
    try:
        if int(arrays["format"]) != FORMAT or str(arrays["key"]) != path.stem:
            raise InputError(f"{path}: holds another batch or format; delete it and run the study again")
        return arrays, from_arrays(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not the results of a batch ({error}); delete it") from None

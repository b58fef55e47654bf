"""A study as a small table, a row per cell: shares with their intervals, medians, powers."""

from typing import Any, Final

from marginflow.study.outcome.export import shown
from marginflow.study.outcome.outcome import CellOutcome, Outcome


_FIRST: Final[dict[str, type]] = {
    "problem": str,
    "parameterization": str,
    "width": str,
    "scale": float,
    "optimizer": str,
    "rate": str,
    "decay": str,
    "samples": int,
    "constraints": int,
    "runs": int,
    "failed": int,
}


def summary_table(found: Outcome) -> tuple[dict[str, type], list[list[Any]]]:
    """The columns, with their types, and a row per cell; what was not measured is None.

    It depends on the results alone, so that equal studies give equal files.
    """
    rows = [_row(c) for c in found.cells]
    stepped = any(c.cell.steps for c in found.cells)
    columns = {name: kind for name, kind in _FIRST.items() if stepped or name not in _STEPS}
    for row in rows:
        columns |= {name: float for name in row if name not in columns}
    return columns, [[_number(row.get(name)) for name in columns] for row in rows]


def _row(c: CellOutcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "problem": c.cell.data_label,
        "parameterization": c.cell.parameterization,
        "width": c.cell.width_label.partition("=")[2],
        "scale": c.cell.scale,
        **_steps(c),
        "constraints": c.constraints,
        "runs": c.runs,
        "failed": c.failed,
    }
    shares = dict(c.shares)
    if c.separable is not None:
        shares |= {"separable": c.separable, "minimal_loss_if_separable": c.shares_separable["minimal_loss"]}
    for word, share in shares.items():
        row |= {f"{word}": share.count, f"{word}_of": share.total}
        row |= {f"{word}_lower": share.lower, f"{word}_upper": share.upper}
    row["evaluations_median"] = c.evaluations.median
    for m in c.marks:
        at = f"{m.norm}_at_{shown(m.target)}"
        named = {
            "ratio": m.ratio,
            "norm_over_svm": m.norm_over_margin,
            "power": m.power,
            "predicted": m.predicted,
        }
        for name, q in named.items():
            row |= {f"{name}_{at}_{part}": getattr(q, part) for part in ("low", "median", "high")}
        row[f"reached_{at}"] = m.ratio.total
    return row


_STEPS: Final = ("optimizer", "rate", "decay", "samples")


def _steps(c: CellOutcome) -> dict[str, Any]:
    return {} if c.cell.steps is None else {name: getattr(c.cell.steps, name) for name in _STEPS}


def _number(value: Any) -> Any:
    """Six digits: these are summaries of a sample, and short files are read."""
    if not isinstance(value, float):
        return value
    return None if value != value else float(f"{value:.6g}")

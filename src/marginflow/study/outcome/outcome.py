"""What a study found, cell by cell: shares with Wilson intervals, quantiles, costs."""

import math
from dataclasses import dataclass
from typing import Any, Final

from marginflow.errors import InputError
from marginflow.study.outcome.shares import Quantiles, Share, quantiles, wilson
from marginflow.study.plan.cell import Cell
from marginflow.study.plan.plan import Plan
from marginflow.study.results.ledger import DamagedLedger, Ledger


ROUNDING: Final = 1e-9
"""An R closer to 1 than this may owe the rest to the rounding that its bound allows for; no power is read."""

STATUSES: Final = ("minimal_loss", "trapped", "undecided")


@dataclass(frozen=True)
class MarkOutcome:
    """The runs of a cell that reached a margin: R and norm over margin there, in one norm.

    Attributes:
        norm, target: which.
        margin: reached there.
        ratio: of R.
        norm_over_margin: of N(W) / margin, divided by the lower bound of N* of the same run (1 at the SVM).
        power: of the measured power p in R - 1 ~ margin^-p between the mark before and this one.
        predicted: of the p that theory predicts of the same runs (`diagnostics.late_law`).
    """

    norm: str
    target: float
    margin: Quantiles
    ratio: Quantiles
    norm_over_margin: Quantiles
    power: Quantiles
    predicted: Quantiles


@dataclass(frozen=True)
class CellOutcome:
    """One cell of the grid.

    Attributes:
        cell: which.
        runs: done, the failed ones included.
        failed: raised an error; in no share.
        shares: of minimal_loss, trapped and undecided among the runs that did not fail.
        separable: runs whose own problem an SVM found separable; None where no SVM was solved.
        shares_separable: as `shares`, among those only.
        evaluations, log_time: of the runs that did not fail, at their end.
        ratio: R at the end of the runs that reached the minimal loss.
        constraints, d, d_z: of the first run.
        marks: one per norm and margin.
        ends: (seed, status) of every run.
    """

    cell: Cell
    runs: int
    failed: int
    shares: dict[str, Share]
    separable: Share | None
    shares_separable: dict[str, Share]
    evaluations: Quantiles
    log_time: Quantiles
    ratio: Quantiles
    constraints: int
    d: int
    d_z: int
    marks: tuple[MarkOutcome, ...]
    ends: tuple[tuple[int, str], ...]

    @property
    def unknowns(self) -> int:
        """How many weights W has: d d_z, or d for diagonal models."""
        return self.d if self.cell.parameterization.startswith("diag") else self.d * self.d_z

    @property
    def load(self) -> float:
        """Constraints over dimensions; nan when no run of the cell worked."""
        return self.constraints / self.unknowns if self.constraints >= 0 else math.nan


@dataclass(frozen=True)
class Outcome:
    """A study, finished or not.

    Attributes:
        plan: what was asked.
        done, lost: batches.
        cells: in the plan's order; those without a run are left out.
        cpu_seconds: of the batches whose cost is known, `costed` of them.
        failures: (cell, seed, reason) of every failed run.
    """

    plan: Plan
    done: int
    lost: int
    cells: tuple[CellOutcome, ...]
    cpu_seconds: float
    costed: int
    failures: tuple[tuple[Cell, int, str], ...]


def outcome(plan: Plan, ledger: Ledger) -> Outcome:
    """Sum up what `ledger` holds of `plan`.

    Raises:
        InputError: the ledger is damaged.
    """
    try:
        batches = ledger.batches()
        states = [batches[u.key] for u in plan.units if u.key in batches]
        keys_of: dict[Cell, set[str]] = {}
        for unit in plan.units:
            keys_of.setdefault(unit.cell, set()).add(unit.key)
        cells, failures = [], []
        for cell, keys in keys_of.items():
            runs = _of(ledger.select("SELECT * FROM runs WHERE cell = ? ORDER BY seed", (cell.key,)), keys)
            failures += [(cell, r["seed"], r["reason"]) for r in runs if r["status"] == "failed"]
            if runs:
                cells.append(_cell(cell, runs, ledger, keys))
    except DamagedLedger as damage:
        raise InputError(f"ledger: damaged ({damage}); `marginflow study run` makes it again") from None
    costs = [b.cpu_seconds for b in states if b.cpu_seconds is not None]
    return Outcome(
        plan=plan,
        done=sum(b.state == "done" for b in states),
        lost=sum(b.state == "lost" for b in states),
        cells=tuple(cells),
        cpu_seconds=sum(costs),
        costed=len(costs),
        failures=tuple(failures),
    )


def _of(rows: list[dict[str, Any]], keys: set[str]) -> list[dict[str, Any]]:
    """The rows of the plan's own batches; a folder may hold those of an older plan too."""
    return [row for row in rows if row["batch"] in keys]


_IN_CELL: Final = "SELECT t.* FROM {table} t JOIN batches b ON b.key = t.batch WHERE b.cell = ?"


def _cell(cell: Cell, runs: list[dict[str, Any]], ledger: Ledger, keys: set[str]) -> CellOutcome:
    svms = _of(ledger.select(_IN_CELL.format(table="svms"), (cell.key,)), keys)
    marks = _of(ledger.select(_IN_CELL.format(table="marks"), (cell.key,)), keys)
    good = [r for r in runs if r["status"] != "failed"]
    minimal = {r["seed"] for r in good if r["status"] == "minimal_loss"}
    # Diagonal models are separable less often than matrices: ask the SVM of the model's own shape.
    own = [s for s in svms if s["norm"] == cell.own_norm] or svms
    splits = {s["seed"] for s in own if s["status"] != "infeasible" and (s["upper"] or math.inf) < math.inf}
    asked = {s["seed"] for s in own}
    first = good[0] if good else runs[0]
    return CellOutcome(
        cell=cell,
        runs=len(runs),
        failed=len(runs) - len(good),
        shares=_shares(good),
        separable=wilson(len(splits), len(asked)) if asked else None,
        shares_separable=_shares([r for r in good if r["seed"] in splits]),
        evaluations=quantiles([r["evaluations"] for r in good]),
        log_time=quantiles([r["log_time"] for r in good]),
        ratio=quantiles([r["ratio"] for r in good if r["seed"] in minimal]),
        constraints=first["constraints"],
        d=first["d"],
        d_z=first["d_z"],
        marks=_marks(marks, svms),
        ends=tuple((r["seed"], r["status"]) for r in runs),
    )


def _shares(runs: list[dict[str, Any]]) -> dict[str, Share]:
    return {word: wilson(sum(r["status"] == word for r in runs), len(runs)) for word in STATUSES}


def _marks(marks: list[dict[str, Any]], svms: list[dict[str, Any]]) -> tuple[MarkOutcome, ...]:
    solved = {(s["norm"], s["seed"]): s for s in svms}
    by_target: dict[tuple[str, float], dict[int, dict[str, Any]]] = {}
    for mark in marks:
        by_target.setdefault((mark["norm"], mark["target"]), {})[mark["seed"]] = mark
    out = []
    before: tuple[str, dict[int, dict[str, Any]]] = ("", {})
    for norm, target in sorted(by_target):
        here = by_target[norm, target]
        last = before[1] if before[0] == norm else {}
        powers = {seed: power(last.get(seed), mark) for seed, mark in here.items()}
        reached = [seed for seed, mark in here.items() if mark["margin"] is not None]
        out.append(
            MarkOutcome(
                norm=norm,
                target=target,
                margin=quantiles([here[seed]["margin"] for seed in reached]),
                ratio=quantiles([here[seed]["ratio"] for seed in reached]),
                norm_over_margin=quantiles(
                    [_relative(here[seed]["norm_over_margin"], solved[norm, seed]["lower"]) for seed in reached]
                ),
                power=quantiles(list(powers.values())),
                predicted=quantiles([solved[norm, seed]["power"] for seed, p in powers.items() if p is not None]),
            )
        )
        before = norm, here
    return tuple(out)


def power(before: dict[str, Any] | None, after: dict[str, Any]) -> float | None:
    """p in R - 1 ~ margin^-p between two marks of one run; None where R does not say."""
    if before is None:
        return None
    numbers = [before["margin"], before["ratio"], after["margin"], after["ratio"]]
    if None in numbers or not (numbers[2] > numbers[0] and min(numbers[1], numbers[3]) - 1 > ROUNDING):
        return None
    return math.log((numbers[1] - 1) / (numbers[3] - 1)) / math.log(numbers[2] / numbers[0])


def _relative(size: float | None, least: float | None) -> float | None:
    return None if size is None or not least else size / least

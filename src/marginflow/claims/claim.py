"""A statement with a prediction, a measurement and a reason for its tolerance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from marginflow.claims.one_by_one import attempt
from marginflow.documents import addressed


Relation = Literal["=", "<=", ">="]


@dataclass(frozen=True)
class Check:
    """One number against its prediction.

    Attributes:
        what: the quantity, in words.
        predicted: the number, or the bound, that the theory gives.
        measured: what the run gave.
        tolerance: how far `measured` may be from (or on the wrong side of) `predicted`.
        reason: where the tolerance comes from.
        relation: "=", or "<=" and ">=" for bounds.
    """

    what: str
    predicted: float
    measured: float
    tolerance: float
    reason: str
    relation: Relation = "="

    @property
    def holds(self) -> bool:
        """False also for whatever is not a finite number."""
        if not all(map(math.isfinite, (self.predicted, self.measured, self.tolerance))):
            return False
        excess = self.measured - self.predicted
        if self.relation == "<=":
            return bool(excess <= self.tolerance)
        if self.relation == ">=":
            return bool(-excess <= self.tolerance)
        return bool(abs(excess) <= self.tolerance)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "what": self.what,
            "predicted": self.predicted,
            "measured": self.measured,
            "tolerance": self.tolerance,
            "relation": self.relation,
            "holds": self.holds,
            "reason": self.reason,
        }


def all_hold(checks: Sequence[Check]) -> bool:
    """Whether there are `checks`, and every one holds."""
    return bool(checks) and all(check.holds for check in checks)


@dataclass(frozen=True)
class Evidence:
    """What evaluating a claim gave: its checks, the decisive one first, and what else a reader may want."""

    checks: tuple[Check, ...]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimResult:
    """A claim after its run.

    Attributes:
        name, source, statement: the claim's.
        checks: every number; empty when the claim could not be evaluated.
        details: further numbers, plain Python values.
        failure: why the claim could not be evaluated, else "".
        cpu: CPU seconds taken.
    """

    name: str
    source: str
    statement: str
    checks: tuple[Check, ...]
    details: dict[str, Any]
    failure: str
    cpu: float

    @property
    def headline(self) -> Check:
        """The check to quote: the first that fails, else the first."""
        nothing = Check("could not be evaluated", math.nan, math.nan, math.nan, self.failure)
        failing = [check for check in self.checks if not check.holds]
        return (failing or list(self.checks) or [nothing])[0]

    @property
    def holds(self) -> bool:
        """True when the claim was evaluated and every check holds."""
        return all_hold(self.checks)

    @property
    def predicted(self) -> float:
        """The headline's prediction."""
        return self.headline.predicted

    @property
    def measured(self) -> float:
        """The headline's measurement."""
        return self.headline.measured

    @property
    def tolerance(self) -> float:
        """The headline's tolerance."""
        return self.headline.tolerance

    @property
    def reason(self) -> str:
        """The derivation of the headline's tolerance, or why there is none."""
        return self.headline.reason

    def lines(self) -> list[str]:
        """Every check as a line for people: the verdict, the numbers, and the reason for the tolerance."""
        if self.failure:
            return [self.failure]
        return [
            f"{'holds ' if check.holds else 'FAILS '} {check.what}: predicted {check.relation} {check.predicted:.9g}, "
            f"measured {check.measured:.9g}, tolerance {check.tolerance:.2g} ({check.reason})"
            for check in self.checks
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {
            "name": self.name,
            "source": addressed(self.source),
            "statement": self.statement,
            "what": self.headline.what,
            "predicted": self.predicted,
            "measured": self.measured,
            "tolerance": self.tolerance,
            "relation": self.headline.relation,
            "holds": self.holds,
            "reason": self.reason,
            "checks": [check.to_dict() for check in self.checks],
            "details": self.details,
            "failure": self.failure,
            "cpu": self.cpu,
        }
        return {key: plain(value) for key, value in found.items()}


@dataclass(frozen=True)
class Claim:
    """A statement that can fail.

    Attributes:
        name: what the user types.
        statement: one sentence.
        source: "paper, abstract", "derived, docs/theory.md 5.1", ...
        problem: the data it is tried on.
        evaluate: runs the experiment.
    """

    name: str
    statement: str
    source: str
    problem: str
    evaluate: Callable[[], Evidence]

    def run(self) -> ClaimResult:
        """Evaluate; an error is a claim that does not hold, with the error as the reason."""
        found, error, cpu = attempt(self.evaluate)
        evidence = Evidence(()) if found is None else found
        return ClaimResult(
            self.name,
            self.source,
            self.statement,
            evidence.checks,
            plain({"problem": self.problem} | evidence.details),
            f"could not be evaluated: {error}" if error else "",
            cpu,
        )


def plain(value: Any) -> Any:
    """`value` with NumPy arrays and numbers turned into lists and Python numbers, at any depth."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value

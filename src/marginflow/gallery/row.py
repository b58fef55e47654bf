"""A figure of a paper made again: what the paper's program gives, what is found here, and what proves it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marginflow.claims.claim import Check, all_hold, plain
from marginflow.claims.one_by_one import attempt
from marginflow.gallery.peers import peer_numbers


if TYPE_CHECKING:
    from matplotlib.figure import Figure


Numbers = dict[str, Any]
"""What is measured, in words, and the number (or a list of numbers, or a word)."""


@dataclass(frozen=True)
class Found:
    """What making a row gave.

    Attributes:
        ours: what is found here, the quantity to quote first.
        certificate: of these quantities, what their proof leaves open: gaps, ratios R - 1, bounds.
        checks: what must be so for the row to hold; each can fail.
        draw: draws the figure.
    """

    ours: Numbers
    certificate: Numbers
    checks: tuple[Check, ...]
    draw: "Callable[[Figure], None]"


@dataclass(frozen=True)
class RowResult:
    """A row after its run.

    Attributes:
        row: which.
        found: its numbers; None where it could not be made.
        failure: why it could not be made, else "".
        cpu: CPU seconds taken, without the drawing.
    """

    row: "Row"
    found: Found | None
    failure: str
    cpu: float

    @property
    def peer(self) -> Numbers:
        """What the paper's program gives, by the words of `ours` where both have the quantity."""
        return peer_numbers(self.row.name)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check; none where the row could not be made."""
        return () if self.found is None else self.found.checks

    @property
    def holds(self) -> bool:
        """Whether the row was made and every check holds."""
        return all_hold(self.checks)

    @property
    def reasons(self) -> list[str]:
        """Why it does not hold, in sentences; empty where it does."""
        if self.failure:
            return [self.failure]
        return [
            f"{c.what}: expected {c.relation} {c.predicted:.9g} within {c.tolerance:.2g}, got {c.measured:.9g}"
            for c in self.checks
            if not c.holds
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = {
            "name": self.row.name,
            "source": self.row.source,
            "statement": self.row.statement,
            "data": self.row.data,
            "peer": self.peer,
            "ours": self.found.ours if self.found else {},
            "certificate": self.found.certificate if self.found else {},
            "holds": self.holds,
            "checks": [check.to_dict() for check in self.checks],
            "failure": self.failure,
            "cpu": self.cpu,
        }
        return {key: plain(value) for key, value in found.items()}


@dataclass(frozen=True)
class Row:
    """A figure that can be made again.

    Attributes:
        name: what the user types; it has the word of the paper's own notebook or script.
        statement: what the figure is about, in a sentence.
        source: paper, repository, commit and file.
        data: how the data came about.
        make: does the work.
    """

    name: str
    statement: str
    source: str
    data: str
    make: Callable[[], Found]

    def run(self) -> RowResult:
        """Make the row; an error is a row that does not hold, with the error as the reason."""
        found, error, cpu = attempt(self.make)
        return RowResult(self, found, f"could not be made: {error}" if error else "", cpu)

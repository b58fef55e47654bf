"""Which listed end each of many starts meets, with intervals that count what was not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import betaincinv

from marginflow.arrays import Ints
from marginflow.intervals import wilson as wilson


@dataclass(frozen=True)
class Share:
    """`count` of `total` independent starts of standard deviation `scale`."""

    scale: float
    count: int
    total: int

    @property
    def value(self) -> float:
        """The share seen."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the true share."""
        return wilson(self.count, self.total)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"scale": self.scale, "count": self.count, "total": self.total, "interval": self.interval}


def over_all(shares: Sequence[Share]) -> float | None:
    """The share of the starts of all scales together; None where none were run."""
    total = sum(s.total for s in shares)
    return sum(s.count for s in shares) / total if total else None


def upper(count: int, total: int, level: float = 0.95) -> float:
    """Clopper and Pearson: a larger share gives at most `count` with probability under 1 - level."""
    return 1.0 if count >= total else float(betaincinv(count + 1, total - count, level))


def missing(ends: list[tuple[Ints, bool]]) -> float:
    """A 95 % bound of the share of starts whose end the runs have not shown.

    Every other run makes the list, the rest are a fresh sample against it: how many of them end elsewhere is
    binomial, whatever the ends are.

    Args:
        ends: the tokens of each run and whether it ended in an attractor at all.
    """
    seen = {tuple(tokens.tolist()) for tokens, ended in ends[::2] if ended}
    fresh = ends[1::2]
    if not fresh:
        return 1.0
    outside = sum(not ended or tuple(tokens.tolist()) not in seen for tokens, ended in fresh)
    return upper(outside, len(fresh))

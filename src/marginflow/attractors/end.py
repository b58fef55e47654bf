"""What an end of one head and one of several have in common: its entry in a list, and its place among losses."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from marginflow.arrays import Ints
from marginflow.attractors.shares import Share


class End(Protocol):
    """Tokens that an open set of starts selects in the limit; what the words mean, `Attractor` says."""

    @property
    def selected(self) -> Ints:
        """(n,) the token of each sample."""

    @property
    def optimal(self) -> bool:
        """Whether it is the minimal loss."""

    @property
    def excess(self) -> float:
        """Its loss above the minimal one."""

    @property
    def value(self) -> float:
        """The norm of its SVM solution."""

    @property
    def gap(self) -> float:
        """The certified relative gap of `value`."""

    @property
    def stability(self) -> float:
        """The least better-token margin."""

    @property
    def stability_lower(self) -> float:
        """What `stability` is at least."""

    @property
    def share(self) -> float | None:
        """The share of all sampled starts that ended here."""

    @property
    def shares(self) -> tuple[Share, ...]:
        """Of the sampled starts, one for each scale."""


E = TypeVar("E", bound=End)


def entry(end: End) -> dict[str, Any]:
    """The entry of `marginflow attractors --json` that every end has."""
    return {
        "selected": end.selected,
        "optimal": end.optimal,
        "excess": end.excess,
        "value": end.value,
        "gap": end.gap,
        "stability": end.stability,
        "stability_lower": end.stability_lower,
        "share": end.share,
        "shares": [share.to_dict() for share in end.shares],
    }


def below(ends: Sequence[E], least: float, loss: float) -> tuple[E, ...]:
    """The ends whose own loss is below `loss`, where `least` is the minimal one."""
    return tuple(end for end in ends if least + end.excess < loss)

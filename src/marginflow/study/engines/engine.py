"""The seam between a study and the machines it runs on: an engine turns units into results, in any order."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from marginflow.study.plan.cell import Unit


if TYPE_CHECKING:
    from marginflow.study.work import Finished, Work


DEATHS: Final = 3
"""How often the worker of a batch may die before the batch is given up."""


@dataclass(frozen=True)
class Lost:
    """A batch that no worker lived through.

    Attributes:
        unit: which.
        reason: what is known.
    """

    unit: Unit
    reason: str


class AbstractEngine(ABC):
    """Runs a plain function over units. An engine writes nothing and decides nothing about results.

    Of a unit it reads `key` and `version` alone, so that the search for attractors runs on engines as well.
    """

    @property
    @abstractmethod
    def word(self) -> str:
        """What the command line calls it."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many batches run at a time; 0 where that is not for us to say."""

    @abstractmethod
    def run(self, work: "Work", units: Sequence[Unit]) -> Generator["Finished | Lost", None, None]:
        """Yield the end of every unit as it comes. Closing the iterator abandons what is running.

        Raises:
            InputError: the workers cannot run `work` at all, or are gone for good.
        """

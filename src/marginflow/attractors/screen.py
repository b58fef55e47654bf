"""What the search asks of the bounds that reject partial selections."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from marginflow.arrays import Bools, Ints


class AbstractNodes(ABC):
    """Partial selections of the first k samples of an order.

    Attributes:
        alpha: (B, k) the token of each sample, in that order.
        children: (B, T) the tokens of the next sample that are still possible.
        separated: (B,) some weights are known to separate the worse and the better tokens.
    """

    alpha: Ints
    children: Bools
    separated: Bools

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def depth(self) -> int:
        """How many samples have a token."""
        return int(self.alpha.shape[1])

    @abstractmethod
    def part(self, rows: slice | Ints | Bools) -> Self:
        """Some of the nodes."""

    @abstractmethod
    def joined(self, others: Sequence[Self]) -> Self:
        """These nodes and `others` of the same depth."""


N = TypeVar("N", bound=AbstractNodes)


class AbstractScreen(ABC, Generic[N]):
    """Bounds of the SVM values of one problem, samples in the order of the search."""

    @property
    @abstractmethod
    def patience(self) -> int:
        """Steps worth taking with whole selections before they are solved."""

    @abstractmethod
    def root(self) -> N:
        """The empty selection."""

    @abstractmethod
    def expand(self, nodes: N) -> N:
        """The children of `nodes` that the parents' own bounds do not reject."""

    @abstractmethod
    def relax(self, nodes: N, steps: int) -> N:
        """Improve the bounds by at most `steps` steps and drop the nodes that no attractor extends."""

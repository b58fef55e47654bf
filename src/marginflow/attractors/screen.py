"""What the search asks of the bounds that reject partial selections."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, Singles
from marginflow.attractors.candidates import Candidates


PAIRED: Final = ("dual", "weights")
"""What nodes hold of each of their two problems: (2, B, ...)."""


@dataclass(frozen=True, eq=False)
class AbstractNodes(ABC):
    """Partial selections of the first k samples of an order.

    Attributes:
        alpha: (B, k) the token of each sample, in that order.
        dual: (2, B, k, T) multipliers against the worse tokens, and against worse and better ones.
        children: (B, T) the tokens of the next sample that are still possible.
    """

    alpha: Ints
    dual: Singles
    children: Bools

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def depth(self) -> int:
        """How many samples have a token."""
        return int(self.alpha.shape[1])

    @property
    @abstractmethod
    def known_separated(self) -> Bools:
        """(B,) some weights are known to separate the worse and the better tokens."""

    def part(self, rows: slice | Ints | Bools) -> Self:
        """Some of the nodes."""
        return self._made(lambda name, axis: getattr(self, name)[(slice(None),) * axis + (rows,)])

    def joined(self, others: Sequence[Self]) -> Self:
        """These nodes and `others` of the same depth."""
        every = [self, *others]
        return self._made(lambda name, axis: np.concatenate([getattr(x, name) for x in every], axis=axis))

    def _made(self, column: Callable[[str, int], Any]) -> Self:
        return type(self)(**{f.name: column(f.name, int(f.name in PAIRED)) for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Grown:
    """The children of some nodes: partial selections of one sample more.

    Attributes:
        parent, token: (B,) the node each comes from, and the token chosen in it.
        alpha, dual, children: as in `AbstractNodes`, the multipliers those of the parent.
    """

    parent: Ints
    token: Ints
    alpha: Ints
    dual: Singles
    children: Bools


N = TypeVar("N", bound=AbstractNodes)


class AbstractScreen(ABC, Generic[N]):
    """Bounds of the SVM values of one problem, samples in the order of the search.

    Attributes:
        candidates: the possible tokens, in the order of the search.
        step: (n,) step size of each sample's multipliers.
    """

    candidates: Candidates
    step: Singles

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

    def allowed(self, alpha: Ints) -> Singles:
        """(2, B, k, T) one where a token constrains: the worse ones; the worse and the better ones."""
        k = alpha.shape[1]
        worse = self.candidates.worse[np.arange(k), alpha]
        better = self.candidates.better[np.arange(k), alpha]
        return np.stack([worse, worse | better]).astype(self.step.dtype)

    def grown(self, nodes: N) -> Grown:
        """The children of `nodes`, their multipliers started from the parent's."""
        n, T = self.candidates.possible.shape
        parent, token = np.nonzero(nodes.children)
        k = nodes.depth
        alpha = np.concatenate([nodes.alpha[parent], token[:, None]], axis=1)
        dual = np.zeros((2, len(parent), k + 1, T), dtype=nodes.dual.dtype)
        dual[:, :, :k] = nodes.dual[:, parent]
        following = self.candidates.possible[k + 1] if k + 1 < n else np.zeros(T, dtype=bool)
        return Grown(parent, token, alpha, dual, np.tile(following, (len(parent), 1)))


def precision(size: Floats) -> type[np.floating[Any]]:
    """Single where it is enough to reject: unless samples of squared `size` (n,) differ by orders of magnitude."""
    near = size.max() <= 1e3 * size.min() and 1e-6 < size.max() < 1e6
    return np.float32 if near else np.float64

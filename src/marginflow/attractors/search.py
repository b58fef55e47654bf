"""Depth-first enumeration of selections, with what it had to leave out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from marginflow.arrays import Ints
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.euclidean import EuclideanScreen
from marginflow.attractors.growth import Growth
from marginflow.attractors.inseparable import inseparable
from marginflow.attractors.screen import AbstractNodes, AbstractScreen
from marginflow.attractors.spectral import SpectralScreen
from marginflow.blas import one_thread


Progress = Callable[[int, int], None]
"""Called now and then with (partial selections looked at, selections that passed the screen)."""


@dataclass(eq=False)
class Screened:
    """What passed a screen.

    Attributes:
        selections: (n,) tokens each, samples in the problem's order.
        visited: partial and whole selections looked at, by depth.
        complete: every other selection was rejected by a bound.
        lost: it is not, because no worker lived through some part.
    """

    selections: list[Ints] = field(default_factory=list)
    visited: dict[int, int] = field(default_factory=dict)
    complete: bool = True
    lost: bool = False

    @property
    def total(self) -> int:
        """Partial and whole selections looked at."""
        return sum(self.visited.values())

    def see(self, nodes: AbstractNodes) -> None:
        """Count the children of `nodes`."""
        k = nodes.depth + 1
        self.visited[k] = self.visited.get(k, 0) + int(nodes.children.sum())

    def add(self, other: "Screened") -> None:
        """Join the result of another part of the search."""
        self.selections.extend(other.selections)
        for depth, count in other.visited.items():
            self.visited[depth] = self.visited.get(depth, 0) + count
        self.complete &= other.complete


@one_thread()
def screen(
    candidates: Candidates,
    euclidean: bool,
    limit: int,
    progress: Progress | None = None,
    subtree: tuple[int, int] = (0, 1),
) -> Screened:
    """The selections that bounds of the SVM values do not reject.

    Args:
        candidates: the tokens, in the problem's order; diagonal for the l2 and l1 norms.
        euclidean: the norm is Frobenius or l2, else nuclear or l1.
        limit: partial selections to look at before giving up.
        progress: see `Progress`.
        subtree: (r, m): only the part r of m of the search; together the parts are the whole.
    """
    growth = Growth.of(candidates)
    if growth is not None:
        order = growth.reordered()
        candidates = Candidates.of(candidates.problem, candidates.diagonal, order)
        growth = growth.permuted(order, candidates)
    bounds: AbstractScreen[Any] = (
        EuclideanScreen.of(candidates, growth) if euclidean else SpectralScreen.of(candidates, growth)
    )
    n = candidates.problem.n
    out = Screened()
    stack = _share(bounds, candidates, subtree, out)
    late = _Late(bounds)
    while stack:
        nodes = stack.pop()
        k = nodes.depth + 1
        out.see(nodes)
        if out.total > limit:
            out.complete = False
            break
        if k == n:
            children = bounds.expand(nodes)
            late.add(bounds.relax(children, _EARLY) if n > 1 else children)
            if progress is not None:
                progress(out.total, late.passed)
            continue
        children = _partial(bounds, candidates, nodes)
        chunk = max(1, _CHUNK // candidates.possible.shape[1])
        stack.extend(children.part(slice(a, a + chunk)) for a in range(0, len(children), chunk))
    for alpha in late.finish():
        back = np.empty_like(alpha)
        back[:, candidates.order] = alpha
        out.selections.extend(back)
    return out


class _Late:
    """Whole selections that the first steps did not reject, gathered so that further steps are shared."""

    def __init__(self, bounds: AbstractScreen[Any]) -> None:
        self.bounds = bounds
        self.waiting: list[AbstractNodes] = []
        self.done: list[Ints] = []

    @property
    def passed(self) -> int:
        """How many have not been rejected."""
        return sum(map(len, self.waiting)) + sum(map(len, self.done))

    def add(self, nodes: AbstractNodes) -> None:
        """Enter selections; once there are enough of them they are looked at more closely."""
        if len(nodes):
            self.waiting.append(nodes)
        if sum(map(len, self.waiting)) >= _CHUNK:
            self._look()

    def finish(self) -> list[Ints]:
        """(B, n) each: the selections that no bound rejected."""
        if self.waiting:
            self._look()
        return self.done

    def _look(self) -> None:
        nodes = self.bounds.relax(self.waiting[0].joined(self.waiting[1:]), self.bounds.patience)
        self.waiting = []
        self.done.append(nodes.alpha)


def _partial(bounds: AbstractScreen[Any], candidates: Candidates, nodes: AbstractNodes) -> AbstractNodes:
    """The partial selections below `nodes`, of one sample more, that are not rejected."""
    n, k = candidates.problem.n, nodes.depth + 1
    children: AbstractNodes = bounds.expand(nodes)
    if k > 1:
        children = bounds.relax(children, _ABOVE if k == n - 1 else _TOP)
    if not candidates.independent and 1 < k < n:
        pairs = zip(children.known_separated, children.alpha, strict=True)
        children = children.part(np.flatnonzero([known or not inseparable(candidates, a) for known, a in pairs]))
    return children


def _share(
    bounds: AbstractScreen[Any], candidates: Candidates, subtree: tuple[int, int], out: Screened
) -> list[AbstractNodes]:
    """Where a part of the search begins: every so many-th partial selection of the first depth that has enough.

    Of the depths above, which every part passes, the first part counts what is looked at.
    """
    part, parts = subtree
    nodes: AbstractNodes = bounds.root()
    while parts > 1 and len(nodes) < parts and 0 < len(nodes) and nodes.depth < candidates.problem.n - 1:
        if part == 0:
            out.see(nodes)
        nodes = _partial(bounds, candidates, nodes)
    own = nodes.part(np.arange(part, len(nodes), parts))
    return [own] if len(own) else []


_CHUNK: Final = 1024
"""Nodes worked on together: their multipliers should stay in the processor's cache."""

_TOP: Final = 12
_ABOVE: Final = 20
_EARLY: Final = 40
"""Steps at most, for partial selections, those one sample short, and whole ones before they are gathered."""

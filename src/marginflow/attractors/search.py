"""Depth-first enumeration of selections, with what it had to leave out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Ints
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.euclidean import EuclideanScreen, Nodes
from marginflow.attractors.growth import Growth
from marginflow.attractors.partial import drop_inseparable, inseparable


Progress = Callable[[int, int], None]
"""Called now and then with (partial selections looked at, selections that passed the screen)."""


@dataclass(eq=False)
class Screened:
    """What passed a screen.

    Attributes:
        selections: (n,) tokens each, samples in the problem's order.
        visited: partial and whole selections looked at, by depth.
        complete: every other selection was rejected by a bound.
        interrupted: Ctrl-C ended the search.
    """

    selections: list[Ints] = field(default_factory=list)
    visited: dict[int, int] = field(default_factory=dict)
    complete: bool = True
    interrupted: bool = False

    @property
    def total(self) -> int:
        """Partial and whole selections looked at."""
        return sum(self.visited.values())

    def add(self, other: "Screened") -> None:
        """Join the result of another part of the search."""
        self.selections.extend(other.selections)
        for depth, count in other.visited.items():
            self.visited[depth] = self.visited.get(depth, 0) + count
        self.complete &= other.complete
        self.interrupted |= other.interrupted


def screen_euclidean(
    candidates: Candidates, limit: int, progress: Progress | None = None, subtree: tuple[int, int] = (0, 1)
) -> Screened:
    """The selections that bounds in the Euclidean norm do not reject.

    Args:
        candidates: the tokens, in the problem's order; diagonal for the l2 norm.
        limit: partial selections to look at before giving up.
        progress: see `Progress`.
        subtree: (r, m): only the part r of m of the search; together the parts are the whole.
    """
    growth = Growth.of(candidates)
    if growth is not None:
        order = growth.reordered()
        candidates = Candidates.of(candidates.problem, candidates.diagonal, order)
        growth = growth.permuted(order, candidates)
    screen = EuclideanScreen.of(candidates, growth)
    n = candidates.problem.n
    out = Screened()
    stack = _share(screen, subtree, n)
    try:
        while stack:
            nodes = stack.pop()
            if nodes.depth == n:
                back = np.empty_like(nodes.alpha)
                back[:, candidates.order] = nodes.alpha
                out.selections.extend(back)
                continue
            children = screen.expand(nodes)
            k = children.depth
            out.visited[k] = out.visited.get(k, 0) + len(children)
            if out.total > limit:
                out.complete = False
                break
            steps = _LEAF if k == n else _ABOVE if k == n - 1 else _TOP
            if k > 1:
                children = screen.relax(children, steps)
            if not candidates.independent and 1 < k < n:
                children = drop_inseparable(candidates, children)
            chunk = _CHUNK if k == n else max(1, _CHUNK // candidates.possible.shape[1])
            stack.extend(children.part(slice(a, a + chunk)) for a in range(0, len(children), chunk))
            if progress is not None:
                progress(out.total, len(out.selections))
    except KeyboardInterrupt:
        out.complete, out.interrupted = False, True
    return out


def screen_separable(candidates: Candidates, limit: int, progress: Progress | None = None) -> Screened:
    """The selections whose tokens some weights can select: all that is known alike for every norm."""
    n = candidates.problem.n
    out = Screened()
    stack = [np.zeros(0, dtype=np.intp)]
    try:
        while stack:
            alpha = stack.pop()
            k = len(alpha) + 1
            for token in np.flatnonzero(candidates.possible[k - 1])[::-1]:
                out.visited[k] = out.visited.get(k, 0) + 1
                child = np.append(alpha, token)
                if 1 < k and not candidates.independent and inseparable(candidates, child):
                    continue
                if k == n:
                    out.selections.append(child)
                else:
                    stack.append(child)
            if out.total > limit:
                out.complete = False
                break
            if progress is not None:
                progress(out.total, len(out.selections))
    except KeyboardInterrupt:
        out.complete, out.interrupted = False, True
    return out


def _share(screen: EuclideanScreen, subtree: tuple[int, int], n: int) -> list[Nodes]:
    part, parts = subtree
    if parts == 1:
        return [screen.root()]
    nodes = screen.expand(screen.root())
    if n > 2:
        nodes = screen.expand(nodes)
    keep = np.arange(part, len(nodes), parts)
    return [Nodes(nodes.alpha[keep], nodes.dual[:, keep], nodes.children[keep])]


_CHUNK: Final = 1024
"""Nodes worked on together: their multipliers should stay in the processor's cache."""

_TOP: Final = 12
_ABOVE: Final = 20
_LEAF: Final = 300
"""Gradient steps at most, for partial selections, those one sample short, and whole ones."""

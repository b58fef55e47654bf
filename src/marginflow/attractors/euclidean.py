"""Rejecting thousands of selections at a time for the Euclidean norms (docs/attractors.md, Pruning).

A partial selection S is kept as two dual guesses: against its worse tokens, and against its worse and better
ones. An attractor solves both problems at once, so V_all(S) <= V(alpha) <= V_worse(S) + I for every attractor
alpha that extends S, V the squared value and I a bound of what the open samples can add. Both sides are
bounded by any multipliers and any separating weights, so nothing here has to converge: a few projected
gradient steps in single precision, rounding included in the bounds, reject nearly everything.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, Singles
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.growth import Growth
from marginflow.attractors.screen import AbstractNodes, AbstractScreen, precision


@dataclass(frozen=True, eq=False)
class Nodes(AbstractNodes):
    """Partial selections with the multipliers of their two problems, and no weights."""

    @property
    def known_separated(self) -> Bools:
        """(B,) nothing is known."""
        return np.zeros(len(self), dtype=bool)


@dataclass(frozen=True, eq=False)
class EuclideanScreen(AbstractScreen[Nodes]):
    """The token Gram matrix and step sizes of one problem, samples in the order of the search.

    Attributes:
        candidates: the possible tokens, in the order of the search.
        gram: (n T, n T) inner products of the matrices x_il z_i' (of x_il * z_i for diagonal weights).
        step: (n,) step size of each sample's multipliers.
        growth: bounds on what open samples add; None where there is no bound.
    """

    candidates: Candidates
    gram: Singles
    step: Singles
    growth: Growth | None

    @classmethod
    def of(cls, candidates: Candidates, growth: Growth | None) -> "EuclideanScreen":
        """Choose precision and steps for `candidates`."""
        rows = candidates.rows
        n, T, p = rows.shape
        flat = rows.reshape(n * T, p)
        gram = flat @ flat.T
        size = np.square(rows - rows.mean(axis=1, keepdims=True)).sum(axis=2).max(axis=1)
        size = np.maximum(size, 1e-300)
        kind = precision(size)
        step = 1.0 / (size * curvature(candidates, gram, size))
        return cls(candidates, gram.astype(kind), step.astype(kind), growth)

    @property
    def patience(self) -> int:
        """Steps worth taking with whole selections before they are solved."""
        return 300

    def root(self) -> Nodes:
        """The empty selection."""
        n, T = self.candidates.rows.shape[:2]
        return Nodes(
            np.zeros((1, 0), dtype=np.intp),
            np.zeros((2, 1, 0, T), dtype=self.gram.dtype),
            self.candidates.possible[:1].copy() if n else np.ones((1, T), dtype=bool),
        )

    def expand(self, nodes: Nodes) -> Nodes:
        """The children of `nodes`, their multipliers started from the parent's."""
        grown = self.grown(nodes)
        return Nodes(grown.alpha, grown.dual, grown.children)

    def relax(self, nodes: Nodes, steps: int) -> Nodes:
        """Take at most `steps` gradient steps and drop the nodes that no attractor extends."""
        k = nodes.depth
        T = self.candidates.rows.shape[1]
        gram = np.ascontiguousarray(self.gram[: k * T, : k * T])
        leaf = k == self.candidates.rows.shape[0]
        alpha, children = nodes.alpha, nodes.children
        allowed = self.allowed(alpha)
        dual = point = nodes.dual
        step = self.step[:k, None]
        taken = 0
        check = 8 if leaf else 4
        t = 1.0
        while True:
            for _ in range(check):
                _, slack = _slack(point, alpha, gram)
                np.multiply(slack, step, out=slack)
                slack += point
                np.maximum(slack, 0.0, out=slack)
                new = slack
                new *= allowed
                following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
                point = new - dual
                point *= (t - 1.0) / following
                point += new
                dual, t = new, following
            taken += check
            dead, alive = self._judge(alpha, dual, allowed, gram, children)
            children = children & alive
            if not leaf:
                dead |= ~children.any(axis=1)
            stop = taken >= steps or bool(dead.all())
            if stop or dead.mean() > 0.1:
                keep = ~dead
                alpha, children = alpha[keep], children[keep]
                dual, point, allowed = dual[:, keep], point[:, keep], allowed[:, keep]
            if stop:
                return Nodes(alpha, dual, children)
            check = 4 if taken < 40 else 20
            if taken % 40 == 0:
                t, point = 1.0, dual

    def _judge(
        self, alpha: Ints, dual: Singles, allowed: Singles, gram: Singles, children: Bools
    ) -> tuple[Bools, Bools]:
        """(B,) nodes without an attractor below them, and (B, T) children that may have one."""
        force, slack = _slack(dual, alpha, gram)
        total = dual.sum(axis=(2, 3), dtype=np.float64)
        # |force|_1 = 2 total; an inner product of kT terms carries gamma_kT rounding, products one more.
        unit = float(np.finfo(gram.dtype).eps)
        error = (gram.shape[0] + 8) * unit * float(np.abs(gram).max(initial=0.0)) * 2.0 * total
        square = 2.0 * error * total
        pulled = np.einsum("abkt,abkt->ab", force, slack, dtype=np.float64)
        # slack = logit - selected logit + 1; the force sums to zero over a sample: <force, slack> = |W|^2.
        norm2 = np.maximum(pulled, 0.0)
        high, low = norm2[0] + square[0], norm2[1] + square[1]
        margin = 1.0 - np.where(allowed[0] > 0, slack[0], -np.inf).max(axis=(1, 2)).astype(np.float64)
        empty = ~np.isfinite(margin)
        margin = np.where(empty, 1.0, margin - error[0] - unit)
        upper = np.where(empty, 0.0, np.where(margin > 0.0, high / np.maximum(margin, 1e-30) ** 2, np.inf))
        lower = np.where(total[1] > 0.0, total[1] ** 2 / np.maximum(low, 1e-300), 0.0) * (1.0 - 1e-9)
        separated = lower > upper * (1.0 + 1e-9)
        if gram.shape[0] == self.gram.shape[0]:
            return separated, children
        alive = np.ones(children.shape, dtype=bool)
        rows = np.flatnonzero(separated)
        if self.growth is not None and len(rows):
            primal = force[0, rows].astype(np.float64) / margin[rows, None, None]
            scale = np.where(low[rows] > 0, total[1, rows] / np.maximum(low[rows], 1e-300), 0.0)
            tight = force[1, rows].astype(np.float64) * scale[:, None, None]
            bound = self.growth.bound(primal, tight, square[0, rows], square[1, rows])
            alive[rows] = lower[rows, None] + bound.least < (upper[rows, None] + bound.most) * (1.0 + 1e-9)
        return np.zeros(len(alpha), dtype=bool), alive


def forces(dual: Singles, alpha: Ints) -> Singles:
    """(S, B, k, T) the signed force on every token: the selected one is pushed by what holds the others down."""
    force = -dual
    force.reshape(-1)[owners(alpha, dual.shape[3], len(dual))] = dual.sum(axis=3).ravel()
    return force


def owners(alpha: Ints, T: int, problems: int = 2) -> Ints:
    """(S B k,) flat places of the selected tokens in an array (S, B, k, T)."""
    count, k = alpha.shape
    at = ((np.arange(count)[:, None] * k + np.arange(k)) * T + alpha).ravel()
    return np.asarray((np.arange(problems)[:, None] * (count * k * T) + at).ravel())


def _slack(dual: Singles, alpha: Ints, gram: Singles) -> tuple[Singles, Singles]:
    """The signed force on every token, and 1 - (selected logit - logit) for every token."""
    count, k = alpha.shape
    T = dual.shape[3]
    force = forces(dual, alpha)
    logits = force.reshape(-1, k * T) @ gram
    own = logits.reshape(-1)[owners(alpha, T)].reshape(2, count, k, 1)
    own -= 1.0
    out = logits.reshape(dual.shape)
    out -= own
    return force, out


def curvature(candidates: Candidates, gram: Floats, size: Floats) -> float:
    """The largest eigenvalue of the scaled constraint Gram matrix, over a sample of selections."""
    n, T = candidates.worse.shape[:2]
    draw = np.random.default_rng(0)
    largest = 0.0
    for _ in range(_SAMPLED):
        alpha = np.array([draw.choice(np.flatnonzero(row)) if row.any() else 0 for row in candidates.possible])
        difference = np.zeros((n * T, n * T))
        for i in range(n):
            block = -np.eye(T)
            block[:, alpha[i]] += 1.0
            other = candidates.worse[i, alpha[i]] | candidates.better[i, alpha[i]]
            difference[i * T : (i + 1) * T, i * T : (i + 1) * T] = block * other[:, None] / np.sqrt(size[i])
        largest = max(largest, float(np.linalg.eigvalsh(difference @ gram @ difference.T)[-1]))
    return max(largest, 1e-300)


_SAMPLED: Final = 12
"""Selections whose curvature is looked at; a step too long only means that a bound does not reject."""
